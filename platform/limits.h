/* limits.h - every maximum that untrusted input can reach, in one place, each with its reason. */
#ifndef PLATFORM_LIMITS_H
#define PLATFORM_LIMITS_H

/* JSON numbers are doubles: up to here each integer is exact. */
#define LIM_INTEGER (1ULL << 53)
#define LIM_COUNTER (LIM_INTEGER - 1) /* signed revisions, versions, counters: adding one is still exact */

/* Signed documents. A 30-app manifest is about 20 KB; 64 KiB is also the limit of one MQTT message. */
#define LIM_ENVELOPE_BYTES (64 * 1024)
#define LIM_JSON_DEPTH     16   /* our deepest document uses 6 */
#define LIM_JSON_TOKENS    4096 /* limits cJSON's memory to about 260 KB */
#define LIM_SIGNATURES     16   /* in one envelope: the old and the new threshold of a trust document */
#define LIM_THRESHOLD      8    /* half of that, so that any permitted threshold can be rotated */
#define LIM_KEYS           16   /* keys in one trust document */
#define LIM_TRUST_STEPS    32   /* trust versions processed in one update */

/* Foreign JSON: OCI index, manifest and config. docker's own limit is 4 MiB; real ones are below 64 KiB. */
#define LIM_OCI_JSON_BYTES  (256 * 1024)
#define LIM_OCI_JSON_TOKENS 16384
#define LIM_OCI_LAYERS      64 /* overlayfs itself is limited to 127; images for devices have 1 to 10 */

/* config.json of a bundle, written by an engine on this machine (podman --privileged lists hundreds of
 * devices). */
#define LIM_ID_BYTES      256 /* engines use 64 digits; a directory name is limited to 255 */
#define LIM_CONFIG_BYTES  (1024 * 1024)
#define LIM_CONFIG_TOKENS 65536
#define LIM_CONFIG_LIST   4096         /* entries of one list in it */
#define LIM_CONFIG_STRING (128 * 1024) /* one argument or variable: the kernel's own limit */

/* Images. */
#define LIM_PATH_BYTES 1024 /* one path in an image; PATH_MAX is 4096 with prefix */
#define LIM_PATH_DEPTH 64   /* depth of directories; bounds the walk's open fds */
/* unpacked, without a signed size: larger than any flash we know */
#define LIM_IMAGE_BYTES       (8ULL << 30)
#define LIM_IMAGE_INODES      200000ULL     /* entries of one image */
#define LIM_TREE_BYTES        (64ULL << 20) /* tree document: 200,000 entries of 100 to 300 bytes */
#define LIM_TREE_CHUNKS       65536U        /* of 1 to 2 KiB: a head of at most 4 MiB for the largest tree */
#define LIM_PACK_HEAD_BYTES   (160 + 2 * LIM_TREE_CHUNKS * 32) /* of a full pack */
#define LIM_PATCH_TABLE_BYTES (4 << 20)                        /* 200,000 new files with a base or two each */
#define LIM_OLD_CHUNKS        8192U /* of an old file that may be reused: 192 KiB, files of about 256 MiB */
#define LIM_XATTR_BYTES       0     /* xattrs of images are never kept */
#define LIM_GZIP_WINDOW       (32 * 1024) /* deflate's own */
/* 8 MiB: zstd up to -19; skopeo and buildah unless a higher level is requested */
#define LIM_ZSTD_WINDOW_LOG 23
#define LIM_ZSTD_WINDOW     (8 << 20)
/* window, and 0.4 MiB for libzstd itself; only for zstd layers */
#define LIM_ZSTD_BYTES     (10ULL << 20)
#define LIM_RESERVE_BYTES  (4ULL * 1024 * 1024) /* disk space reserved for the agent's own state (L16) */
#define LIM_RESERVE_INODES 64ULL
/* one chunk of a blob is held in memory until its check is verified */
#define LIM_CHUNK_BYTES (128 * 1024)
#define LIM_CHUNKS      (1 << 20) /* in one fetch; their list is 24 bytes each */

/* Packs. The unpacked size of one piece limits what a cut costs and what a decoder holds. */
#define LIM_CHUNK_RAW (64 * 1024) /* one chunk of a full pack */
/* one segment of a patch pack: shorter ones cost lz4 2 % and more */
#define LIM_SEGMENT_LZ4_RAW  (256 * 1024)
#define LIM_SEGMENT_LZMA_RAW (1024 * 1024) /* the same for LZMA, which restarts in each */
#define LIM_CODEC_LZMA_BYTES (128 * 1024)  /* liblzma: 64 KiB dictionary, 28 KiB probabilities, its own */
#define LIM_PATCH_BYTES      (640 * 1024)  /* memory that a patch pack may require, libraries included */
#define LIM_PATCH_COVERS     (16 * 1024)   /* per object; system updates need 3 Ki, 24 bytes each */
#define LIM_PATCH_RAW_BYTES  (9ULL << 30)  /* stream of one pack: an image without any similarity, and some */

/* The manifest. */
#define LIM_APPS         32
#define LIM_ID_RANGES    256 /* apps that run, are known, or are gone but still have volumes */
#define LIM_ARGS         64
#define LIM_ENVS         64
#define LIM_PORTS        16
#define LIM_NET_NAME     12  /* of a shared network: "lp-" and this make an interface, 15 bytes (IFNAMSIZ) */
#define LIM_PORT_RANGE   256 /* ports in one range: each is an entry in a kernel map */
#define LIM_MOUNTS       16
#define LIM_SOURCES      4
#define LIM_SOURCE_BYTES 512 /* one source: a URL or a path */
#define LIM_PROFILES     64  /* compiled seccomp profiles in /run, about 10 KiB of memory each */
#define LIM_NETDEVS      16  /* network devices of one container */
#define LIM_DEVICES      8   /* host devices of one app */
#define LIM_GROUPS       6   /* one SUBSCRIBE may have 8 filters at AWS: own desired, cmd, 6 groups */
#define LIM_NAME_BYTES   64
#define LIM_TEXT_BYTES   4096 /* one argument or environment value */
#define LIM_SPEC_BYTES   (64 * 1024)

/* Link, control socket. */
#define LIM_MQTT_PACKET_BYTES (128 * 1024) /* inbound packet; libmosquitto itself has no limit */
#define LIM_MSG_BYTES         (96 * 1024)  /* one message between our own processes */
#define LIM_MSG_FDS           8
#define LIM_CTL_CLIENTS       8
/* processes in boxes that core started and that have not ended: checks and execs */
#define LIM_EXECS             64
#define LIM_APP_EXECS         8 /* of these in one app: one that cannot be killed right now keeps its slot */
#define LIM_CTL_REQUEST_BYTES (96 * 1024)
#define LIM_EVENTS            64             /* ring of unsent events */
#define LIM_HISTORY           16             /* verdicts kept */
#define LIM_BAD_RELEASES      16             /* releases remembered as bad */
#define LIM_STORED_FDS        (LIM_APPS * 4) /* keeper: pidfd and two log pipes per app, and one spare */

/* Jobs: limits of the cgroup around each. */
#define LIM_FETCH_BYTES   (24ULL << 20) /* libcurl with OpenSSL on Debian; small builds need a tenth */
#define LIM_INSTALL_BYTES (8ULL << 20)
#define LIM_PULL_BYTES    (LIM_FETCH_BYTES + (8ULL << 20)) /* install with the fetch program next to it */
#define LIM_OS_BYTES \
    (48ULL << 20) /* RAUC or SWUpdate with its libraries; bundles go through the page cache */
/* Longest pause granted to a server that asks for one (Retry-After): it may be wrong. */
#define LIM_RETRY_AFTER_S 900

#define LIM_JOB_MS     (6ULL * 3600 * 1000) /* a slow link may take hours; a stalled one is cut earlier */
#define LIM_LINE_BYTES 1024                 /* one line of a job's verdict pipe */

/* Logs of apps. */
#define LIM_LOG_RING_BYTES     (64 * 1024) /* default per app */
#define LIM_LOG_RING_MAX_BYTES (4 * 1024 * 1024)
#define LIM_LOG_LINE_BYTES     4096 /* longer lines are split and marked */
#endif
