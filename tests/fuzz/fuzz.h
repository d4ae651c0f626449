/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What libFuzzer calls; main.c calls it with each file of the corpus instead. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
