/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every test program begins with: cmocka in the order that it wants, and a few helpers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/diag.h"
#include "layout/layout.h"

/* A new empty folder, which is removed when the program ends. */
const char *test_folder(void);

/* A path in test_folder(), good until the test program ends. */
const char *test_path(const char *name);

void test_write(const char *path, const void *data, size_t size);
size_t test_count(const char *name); /* what a folder has, below the folder of the test; 0 when it is not there */
char *test_hash(const char *path); /* SHA-256 of a whole file or device */

/* The text of the only finding, or fails; NULL when there is none. */
const char *test_only_finding(const struct diag *diag);

/* Two disks, one mirror, nothing else: the smallest layout there is. */
#define TEST_ID "0f0e0d0c-0b0a-4908-8706-050403020100"
#define TEST_HEAD                                                                              \
	"id: " TEST_ID "\n"                                                                    \
	"host: falcon\n"
#define TEST_DISKS                                                                             \
	"disks:\n"                                                                             \
	"  left: { path: /dev/disk/by-id/one }\n"                                              \
	"  right: { path: /dev/disk/by-id/two }\n"
#define TEST_POOL                                                                              \
	"pool:\n"                                                                              \
	"  vdevs:\n"                                                                           \
	"    - mirror: [left, right]\n"
#define TEST_DATASETS                                                                          \
	"datasets:\n"                                                                          \
	"  ROOT/debian: { mountpoint: / }\n"
#define TEST_LAYOUT TEST_HEAD TEST_DISKS TEST_POOL TEST_DATASETS

struct layout *test_layout(const char *text); /* fails the test when it has a finding */
