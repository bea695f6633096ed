#!/usr/bin/env python3
"""Sign any bytes as a DSSE envelope, with openssl: an implementation of our own format that shares no code with ours.
usage: forge.py TYPE [KEYFILE ...] < payload > envelope      (TYPE: desired, release, trust or a whole media type)"""
import base64
import json
import subprocess
import sys
import tempfile


def der_to_raw(der):
    """SEQUENCE of two INTEGERs -> r || s, 32 bytes each."""
    at, out = 2, b""
    for _ in range(2):
        n = der[at + 1]
        out += der[at + 2:at + 2 + n].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + n
    return out


kind, keys = sys.argv[1], sys.argv[2:]
media = kind if "/" in kind else f"application/vnd.limpet.{kind}.v1+json"
payload = sys.stdin.buffer.read()
pae = b"DSSEv1 %d %s %d %s" % (len(media), media.encode(), len(payload), payload)
sigs = []
for key in keys:
    with tempfile.NamedTemporaryFile() as f:
        f.write(pae)
        f.flush()
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, f.name], check=True, stdout=subprocess.PIPE).stdout
    sigs.append({"keyid": "forged", "sig": base64.b64encode(der_to_raw(der)).decode()})
json.dump({"payloadType": media, "payload": base64.b64encode(payload).decode(), "signatures": sigs}, sys.stdout)
