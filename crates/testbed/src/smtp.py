"""A mail server for tests: what a recipient is called says what becomes of the mail to it.

    never@      refused for good            full@   refused for good after DATA
    later@      refused for now, always     busy@   refused for now after DATA
    grey...@    refused for now, once       slow@   answered after ten seconds
    echo@       refused with the login in the answer

Each mail becomes a file of JSON in the folder: the envelope, the headers, and the subject and text as Python's own parser
reads them."""
import asyncio, base64, email, email.policy, json, os, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, tls, folder, certificate, key, user, password = sys.argv[1:]
context = None
if tls != "none":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
met, count = set(), 0


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name.startswith("grey") and (key := (envelope.mail_from, address)) not in met:
            met.add(key)
            return "451 4.7.1 Greylisted, please try again in 5 minutes"
        if name == "slow":
            await asyncio.sleep(10)
        login = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        refusals = {
            "never": "550 5.1.1 No such user here",
            "later": "452 4.2.2 Mailbox full",
            "echo": f"550 5.7.1 Not for {password} {login}",
        }
        if name in refusals:
            return refusals[name]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        names = {to.split("@")[0] for to in envelope.rcpt_tos}
        if "full" in names:
            return "554 5.6.0 Looks like spam\x1b[2J"
        if "busy" in names:
            return "451 4.3.0 Out of space"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        heard = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None or tls == "implicit",
            "login": bool(session.authenticated),
            "headers": [[name, str(value)] for name, value in mail.items()],
            "subject": str(mail["subject"]),
            "text": mail.get_content(),
            "raw": envelope.content.decode("utf-8", "surrogateescape"),
        }
        count += 1
        path = os.path.join(folder, f"{count:06}.json")
        with open(path + ".part", "w") as file:
            json.dump(heard, file)
        os.rename(path + ".part", path)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (user.encode(), password.encode()), handled=False)


settings = {"hostname": "127.0.0.1", "port": int(port), "server_hostname": "localhost"}
if tls == "starttls":
    settings |= {"tls_context": context, "require_starttls": True}
if tls == "implicit":
    settings |= {"ssl_context": context}
if user:
    settings |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": tls == "starttls"}
Controller(Handler(), **settings).start()
asyncio.new_event_loop().run_forever()
