#!/usr/bin/env python3
"""Writes an image of one layer as a docker archive, without a container engine.

    image.py OUT.tar NAME:TAG --entry COMMAND [options] SOURCE:PATH[:MODE]...

A source 'libraries:FILE' adds the shared libraries that FILE is linked to, at
their own paths. The same files give the same bytes.
"""
import argparse
import hashlib
import io
import json
import os
import subprocess
import tarfile

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("out")
p.add_argument("name")
p.add_argument("--entry", action="append", default=[], help="word of the entry point")
p.add_argument("--user", default="", help="UID:GID")
p.add_argument("--mkdir", action="append", default=[], help="world-writable folder")
p.add_argument("--link", action="append", default=[], metavar="PATH=TARGET", help="symbolic link")
p.add_argument("--text", action="append", default=[], metavar="PATH=TEXT", help=r"text file; \n is a new line")
p.add_argument("files", nargs="*", metavar="SOURCE:PATH[:MODE]")
a = p.parse_intermixed_args()

buffer = io.BytesIO()
layer = tarfile.open(fileobj=buffer, mode="w")
seen = set()


def entry(path, kind=tarfile.REGTYPE, mode=0o644, data=b"", target=""):
    """Adds one entry, after the folders above it."""
    path = path.strip("/")
    if path in seen:
        return
    above = os.path.dirname(path)
    if above:
        entry(above, tarfile.DIRTYPE, 0o755)
    seen.add(path)
    i = tarfile.TarInfo(path)
    i.type, i.mode, i.size, i.linkname = kind, mode, len(data), target
    layer.addfile(i, io.BytesIO(data))


def add(source, path, mode=None):
    source = os.path.realpath(source)
    with open(source, "rb") as f:
        entry(path, mode=mode or os.stat(source).st_mode & 0o7777, data=f.read())


for path in a.mkdir:
    entry(path, tarfile.DIRTYPE, 0o1777)
for spec in a.files:
    if spec.startswith("libraries:"):
        for line in subprocess.run(["ldd", spec[len("libraries:"):]], capture_output=True, text=True, check=True).stdout.splitlines():
            for word in line.split():
                if word.startswith("/"):
                    add(word, word)
                    break
        continue
    part = spec.split(":")
    add(part[0], part[1], int(part[2], 8) if len(part) > 2 else None)
for link in a.link:
    path, target = link.split("=")
    entry(path, tarfile.SYMTYPE, 0o777, target=target)
for text in a.text:
    path, content = text.split("=", 1)
    entry(path, data=content.replace(r"\n", "\n").encode())
layer.close()

blob = buffer.getvalue()
digest = hashlib.sha256(blob).hexdigest()
config = json.dumps({
    "architecture": "amd64", "os": "linux",
    "config": {"Entrypoint": a.entry, "User": a.user, "WorkingDir": "/",
               "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
    "history": [{"created_by": "image.py"}]}).encode()
named = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": named, "RepoTags": [a.name], "Layers": [digest + "/layer.tar"]}]).encode()
with tarfile.open(a.out + ".part", "w") as out:
    for name, data in ((named, config), (digest + "/layer.tar", blob), ("manifest.json", manifest)):
        i = tarfile.TarInfo(name)
        i.size = len(data)
        out.addfile(i, io.BytesIO(data))
os.replace(a.out + ".part", a.out)
