import sys
from urllib.parse import ParseResult, urlparse
import wsgidav.request_server
from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from wsgidav.wsgidav_app import WsgiDAVApp

port, home, user, password, certificate, key = sys.argv[1:7]


def split(url, allow_fragments=True):
    """It decodes a destination before it splits it, and takes what follows `;` or `?` in a name for no part of it. Mended here,
    but for the folder `astray`."""
    if "/astray/" in url:
        return urlparse(url, allow_fragments=allow_fragments)
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return ParseResult(scheme, host, "/" + path, "", "", "")


wsgidav.request_server.urlparse = split
app = WsgiDAVApp({
    "provider_mapping": {"/dav": home},
    "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
    "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
    "lock_storage": True,
    "property_manager": True,
    "verbose": 1,
    "logging": {"enable": False},
})


def faulty(environ, start):
    """What becomes of a request says the folder it is about."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if method == "PUT" and "/full/" in path:
        environ["wsgi.input"].read(1 << 20)
        start("507 Insufficient Storage", [("Content-Length", "0"), ("Connection", "close")])
        return [b""]
    if method == "MOVE" and "/stuck/" in path:
        start("403 Forbidden", [("Content-Length", "0")])
        return [b""]
    if method == "PROPFIND" and "/hostile/" in path:
        name = path.rstrip("/").rsplit("/", 1)[-1]
        body = HOSTILE[name.removesuffix(".xml")]()
        start("207 Multi-Status", [("Content-Type", "application/xml")])
        return body
    if method == "HEAD" and "/headless/" in path:
        start("405 Method Not Allowed", [("Content-Length", "0")])
        return [b""]
    if method in ("PROPFIND", "HEAD") and "/elsewhere/" in path:
        start("302 Found", [("Location", "http://169.254.169.254/latest"), ("Content-Length", "0")])
        return [b""]
    return app(environ, start)


ENTRY = """<d:response><d:href>{}</d:href><d:propstat><d:prop><d:getcontentlength>5</d:getcontentlength>
<d:resourcetype/></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"""


def multi(*entries):
    return [('<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">' + "".join(entries) + "</d:multistatus>").encode()]


def endless():
    yield b'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">'
    while True:
        yield (ENTRY.format("/dav/hostile/endless/x") * 1000).encode()


HOSTILE = {
    "laughs": lambda: [b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
                       b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>&b;</d:href></d:response></d:multistatus>'],
    "deep": lambda: [b'<d:multistatus xmlns:d="DAV:">' + b"<d:prop>" * 100000],
    "endless": endless,
    "leaves": lambda: multi(*[ENTRY.format(h) for h in (
        "/dav/hostile/leaves/good", "/dav/hostile/leaves/../../secret", "/dav/hostile/leaves/%2e%2e", "/dav/other/thing",
        "http://169.254.169.254/dav/hostile/leaves/x", "/dav/hostile/leaves/a%2Fb", "/dav/hostile/leaves/c%0d%0ad",
        "/dav/hostile/leaves/too/deep", "/dav/hostile/leaves/.videorec-0123456789ab.part")]),
    "broken": lambda: [b"<d:multistatus xmlns:d='DAV:'><d:response><d:href>/dav/x</d:href>"],
    "page": lambda: [b"<html><body>Welcome!</body></html>"],
}

server = wsgi.Server(("127.0.0.1", int(port)), faulty, numthreads=16)
if certificate:
    server.ssl_adapter = BuiltinSSLAdapter(certificate, key)
server.start()
