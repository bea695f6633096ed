#!/usr/bin/env python3
"""A registry that wants tokens: a proxy before a real one, with its token server. A token holds for so many requests and for what its scope says.
usage: token_registry.py PORT REGISTRY-PORT LOG [realm=URL] [location=HOST:PORT] [open=1] [list=no|pages]
(realm: instead of our own; location: host of upload addresses; open: nobody needs a token; list: there is no list of tags, or one tag a page)
Each request is a line of LOG: METHOD PATH CREDENTIALS STATUS."""
import base64
import http.client
import http.server
import json
import sys
import urllib.parse

port, behind, log = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
how = dict(a.split("=", 1) for a in sys.argv[4:])
USES = 3
tokens = {}  # token -> [uses left, scope]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        with open(log, "a") as f:
            f.write("%s %s %s %d\n" % (self.command, self.path, (self.headers.get("Authorization") or "nothing").split()[0], status))
        self.send_response(status)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def token(self):
        right = "Basic " + base64.b64encode(b"joe:secret word").decode()
        if self.headers.get("Authorization") != right:
            return self.answer(401, b"who are you?")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        name = "t%d" % len(tokens)
        tokens[name] = [USES, query.get("scope", [""])[0]]
        return self.answer(200, json.dumps({"access_token": name, "expires_in": 300}).encode())

    def allowed(self, needs):
        entry = tokens.get((self.headers.get("Authorization") or "")[len("Bearer "):])
        if not entry or entry[0] == 0 or not entry[1].startswith("repository:demo/web:"):
            return False
        if not set(needs) <= set(entry[1].rsplit(":", 1)[1].split(",")):
            return False
        entry[0] -= 1
        return True

    def tags(self):
        if how["list"] == "no":
            return self.answer(405, b"no lists here")
        url = urllib.parse.urlsplit(self.path)
        c = http.client.HTTPConnection("127.0.0.1", behind)
        c.request("GET", url.path)
        last = urllib.parse.parse_qs(url.query).get("last", [""])[0]
        left = sorted(t for t in json.loads(c.getresponse().read())["tags"] if t > last)
        more = {"Link": '<%s?last=%s>; rel="next"' % (url.path, left[0])} if len(left) > 1 else {}
        return self.answer(200, json.dumps({"tags": left[:1] or None}).encode(), **more)

    def any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/token"):
            return self.token()
        elsewhere = "location" in how and self.headers.get("Host") == how["location"]
        needs = ["pull"] if self.command in ("GET", "HEAD") else ["pull", "push"]
        if not elsewhere and "open" not in how and not self.allowed(needs):
            scope = "repository:demo/web:" + ",".join(needs)
            realm = how.get("realm", "http://127.0.0.1:%d/token" % port)
            return self.answer(401, b"a token, please", WWW_Authenticate='Bearer realm="%s",service="the registry",scope="%s"' % (realm, scope))
        if "list" in how and self.path.split("?")[0].endswith("/tags/list"):
            return self.tags()
        c = http.client.HTTPConnection("127.0.0.1", behind)
        c.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k not in ("Authorization", "Content-Length", "Transfer-Encoding")})
        r = c.getresponse()
        headers = {k.replace("-", "_"): v for k, v in r.getheaders() if k not in ("Transfer-Encoding", "Date", "Connection")}
        if "location" in how and self.command == "POST" and "Location" in headers:
            at = urllib.parse.urlsplit(headers["Location"])
            headers["Location"] = "http://%s%s?%s" % (how["location"], at.path, at.query)
        return self.answer(r.status, r.read(), **headers)

    do_GET = do_HEAD = do_POST = do_PUT = any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", port), Handler).serve_forever()
