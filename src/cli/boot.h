/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/cli.h"

/* eyrie boot VERB, each in a file of its own. */
enum cli_exit boot_write(struct cli *cli);
