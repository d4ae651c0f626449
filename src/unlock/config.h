/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What eyrie-unlock must know before anything is open: which devices to wait for, and which
 * pool to import. JSON, in the initramfs; nothing in it is secret, and nothing but the order of
 * work depends on it: what is believed of the set comes from a box.
 */

#include "base/record.h"

struct unlock_member {
	char *uuid; /* of its LUKS2 header; native: of the entry in the GPT */
	char *name;
	char *mapping; /* under /dev/mapper */
	char *disk;    /* model and serial, for people */
};

struct unlock_config {
	char *host;
	char *set; /* its id */
	char *pool;
	char *pool_guid;
	bool native;	     /* members are partitions, and ZFS has the key */
	uint64_t window;     /* seconds */
	bool share;	     /* the passphrase is kept for gates, for a while */
	uint64_t rejoin;     /* seconds; 0: a late member waits for a person */
	struct list members; /* of struct unlock_member */
};

extern const struct record record_unlock_config, record_unlock_member;

int unlock_config_read(const char *path, struct unlock_config *ret, struct diag *diag);
