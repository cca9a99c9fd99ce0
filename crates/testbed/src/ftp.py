# An FTP server that misbehaves as real ones were seen to. Which fault it is says the folder that a file lies in; what kind of
# server it is say the tricks.
import errno, json, os, sys, time
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

port, home, user, password, tricks = sys.argv[1:6]
port, tricks = int(port), json.loads(tricks)


class Full:
    """A file on a disk with room for one more mebibyte."""

    def __init__(self, file):
        self.file, self.room = file, 1 << 20

    def write(self, chunk):
        self.room -= len(chunk)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(chunk)

    def __getattr__(self, name):
        return getattr(self.file, name)


class Control(FTPHandler):
    upload = ""

    def in_folder(self, folder, path=None):
        return f"/{folder}/" in (self.upload if path is None else path)

    def ftp_STOR(self, file, mode="w"):
        self.upload = file
        if self.in_folder("quota"):
            self.respond("452 Insufficient storage space in system.")
            return
        if self.in_folder("forbidden"):
            self.respond("550 Permission denied.")
            return
        if mode == "a" and "noresume" in tricks:
            self.respond("502 APPE not implemented.")
            return
        return super().ftp_STOR(file, mode)

    def ftp_REST(self, line):
        if "noresume" in tricks:
            self.respond("502 REST not implemented.")
            return
        return super().ftp_REST(line)

    def run_as_current_user(self, function, *args, **kwargs):
        result = super().run_as_current_user(function, *args, **kwargs)
        if function == self.fs.open and len(args) > 1 and args[1] != "rb" and self.in_folder("full", args[0]):
            return Full(result)
        return result

    def ftp_RNTO(self, path):
        if self.in_folder("stuck", path):
            self.respond("550 Rename is not allowed here.")
            return
        if "norenameover" in tricks and os.path.exists(path):
            self.respond("553 File exists.")
            return
        return super().ftp_RNTO(path)

    def ftp_SIZE(self, path):
        if self.in_folder("lies", path) and os.path.isfile(path):
            self.respond(f"213 {os.path.getsize(path) + 1}")
            return
        return super().ftp_SIZE(path)

    def respond(self, text, *args, **kwargs):
        code = text[:3]
        if code == "226" and self.upload:
            upload, self.upload = self.upload, ""
            if f"/silent/" in upload:
                self.close()
                return
            if f"/late/" in upload:
                self.ioloop.call_later(8, lambda: None if self._closed else FTPHandler.respond(self, text))
                return
            # The server says yes to less than it was sent.
            if f"/short/" in upload:
                with open(upload, "r+b") as file:
                    file.truncate(os.path.getsize(upload) // 2)
                self.close()
                return
        # Its own words name no reason here.
        if code == "426" and self.in_folder("full"):
            text = "426 No space left on device; transfer aborted."
        if code == "229" and "announce" in tricks:
            text = f"229 Entering extended passive mode (|||{tricks['announce']}|)."
        if code == "227" and "foreign" in tricks:
            p = text[text.index("(") + 1 : text.index(")")].split(",")
            text = f"227 Entering passive mode ({tricks['foreign'].replace('.', ',')},{p[4]},{p[5]})."
        super().respond(text, *args, **kwargs)


commands = dict(FTPHandler.proto_cmds)
for old in tricks.get("without", []):
    commands.pop(old)
Control.proto_cmds = commands
Control.use_sendfile = False
Control.auth_failed_timeout = 0
Control.max_login_attempts = 1
Control.authorizer = DummyAuthorizer()
Control.authorizer.add_user(user, password, home, perm="elradfmwMT")
if "data" in tricks:
    Control.passive_ports = [tricks["data"]]
FTPServer(("127.0.0.1", port), Control).serve_forever()
