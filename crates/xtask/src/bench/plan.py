"""What `videorec plan` is compared with, and what it plans over.

fill CATALOG N TSV   makes N recordings of the one that is in an SQLite catalog, and writes the same for PostgreSQL
rows CATALOG         a plain script: the rows, and the policy's rules as Python conditions; prints seconds and matches
custodian CATALOG N  Cloud Custodian's value filters over N of them; prints seconds and matches
"""
import datetime
import json
import sqlite3
import sys
import time

DAY = 86_400_000
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Names after the columns that both catalogs have.
COLUMNS = """rid id kind name title store key version size sha256 crc64 accepted_at recorded_at tags session state reason
revision media_type duration_ms probe custody verified_at""".split()


def name_of(n):
    n = (n * 0x9E3779B97F4A7C15 + 1) % 2**128
    digits = []
    for _ in range(26):
        digits.append(ALPHABET[n % 32])
        n //= 32
    return "".join(reversed(digits))


def fill(catalog, count, tsv):
    db = sqlite3.connect(catalog)
    seed = dict(zip(COLUMNS, db.execute(f"SELECT {', '.join(COLUMNS)} FROM recording LIMIT 1").fetchone()))
    now = int(time.time() * 1000)

    def rows():
        for i in range(count):
            at = now - i * 1100 * DAY // count
            tags = [t for t, every in (("court", 1000), ("legal", 100), ("share", 50), ("lobby", 7)) if i % every == 0]
            row = dict(seed, rid=at * 64 + i % 64, id=name_of(i), name=f"cam{i % 200}/{i}.mp4", title=f"{i}", accepted_at=at,
                       verified_at=at, size=50_000 + i * 7919 % 40_000_000, tags=json.dumps(sorted(tags)), state="ready",
                       reason="", recorded_at=None)
            yield [row[c] for c in COLUMNS]

    with open(tsv, "w") as out:
        batch = []
        for row in rows():
            batch.append(row)
            fields = ("\\N" if v is None else "\\\\x" + v.hex() if isinstance(v, bytes) else str(v).replace("\\", "\\\\") for v in row)
            out.write("\t".join(fields) + "\n")
            if len(batch) == 50_000:
                insert(db, batch)
                batch = []
        insert(db, batch)
    db.execute("DELETE FROM attention")
    db.commit()


def insert(db, batch):
    marks = ", ".join("?" * len(COLUMNS))
    db.executemany(f"INSERT OR IGNORE INTO recording ({', '.join(COLUMNS)}) VALUES ({marks})", batch)
    db.commit()


def facts(catalog, limit):
    db = sqlite3.connect(catalog)
    query = "SELECT id, name, size, accepted_at, tags, kind, media_type, duration_ms FROM recording ORDER BY id LIMIT ?"
    for id, name, size, at, tags, kind, media, duration in db.execute(query, (limit,)):
        yield {"id": id, "name": name, "size": size, "at": at, "tags": json.loads(tags), "kind": kind,
               "type": media or "", "duration": duration or 0}


def rows(catalog):
    """Twenty rules as a person would write them down in Python."""
    started = time.time()
    now = started * 1000
    rules = [lambda r, n=n: r["name"].startswith(f"cam{n}/") and r["size"] >= 1_000_000 for n in range(10)]
    rules += [lambda r, d=d: "court" in r["tags"] and now - r["at"] >= d * DAY for d in (10, 100, 300, 500, 900)]
    rules += [lambda r, d=d: r["size"] > 39_000_000 and not r["name"].startswith("cam1") and now - r["at"] >= d * DAY
              for d in (800, 850, 900, 950, 1000)]
    matches = sum(1 for r in facts(catalog, -1) for rule in rules if rule(r))
    print(json.dumps({"seconds": time.time() - started, "matches": matches}))


def custodian(catalog, count):
    from c7n.filters import ValueFilter

    def value(key, op, wanted):
        return ValueFilter({"type": "value", "key": key, "op": op, "value": wanted}).validate()

    resources = list(facts(catalog, count))
    for r in resources:
        r["days"] = (time.time() * 1000 - r["at"]) / DAY
    rules = [[value("name", "glob", f"cam{n}/*"), value("size", "gte", 1_000_000)] for n in range(10)]
    rules += [[value("tags", "contains", "court"), value("days", "gte", d)] for d in (10, 100, 300, 500, 900)]
    rules += [[value("size", "gt", 39_000_000), value("days", "gte", d)] for d in (800, 850, 900, 950, 1000)]
    started = time.time()
    matches = 0
    for rule in rules:
        found = resources
        for condition in rule:
            found = condition.process(found)
        matches += len(found)
    print(json.dumps({"seconds": time.time() - started, "matches": matches}))


if __name__ == "__main__":
    what, catalog, *rest = sys.argv[1:]
    if what == "fill":
        fill(catalog, int(rest[0]), rest[1])
    elif what == "rows":
        rows(catalog)
    else:
        custodian(catalog, int(rest[0]))
