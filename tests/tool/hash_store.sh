#!/bin/sh
# hash_store.sh STORE: every object and blob hashes to its name; prints those that do not.
find "$1/objects" "$1/blobs" -type f | while read -r f; do
	sum=$(sha256sum <"$f" | cut -c1-64)
	case $(basename "$f") in "$sum"*) ;; *) echo "$f" ;; esac
done | grep . && exit 1
exit 0
