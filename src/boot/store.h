/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Boot environments where GRUB starts them from one /boot. Pure.
 *
 * One alone has its kernels in /boot itself. Of several each has copies in a store there: a folder for each
 * image, named by its hash and never written to again, and a list for each environment of what
 * it has. The menu names these alone. What lies in /boot itself belongs to the one that runs, whose package
 * manager looks after it: a sync copies what is new there to the store, and where another environment's
 * kernels lie there ("owner"), they are exchanged before anything else is done.
 */

#include "boot/environment.h"
#include "layout/layout.h"
#include "observe/observed.h"

#define STORE_NOBODY "-" /* the owner while kernels are being exchanged */

bool store_is_used(const struct layout *layout, const struct environments *list);
char *store_folder(const struct observed_kernel *kernel); /* below /boot */

/* What /boot keeps for it, or NULL. */
const struct observed_stored *store_of(const struct observed_system *system, const char *name);

/* The kernels in /boot itself are not those of the layout's root. */
bool store_is_of_another(const struct layout *layout, const struct observed *have);

/*
 * What an environment is to be started by, of struct observed_kernel; of a new one, that /boot has nothing
 * of yet, what it was cloned from. `ret_options`: their parameters.
 */
void store_kernels(const struct layout *layout, const struct observed *have,
		   const struct environments *list, const struct environment *environment,
		   struct list *ret, char **ret_options);

/*
 * The list of that name stays: of an environment that is in the menu, or of one that nobody can look at
 * now. It goes when the environment is gone, is half-made, or is one alone.
 */
bool store_keeps(const struct layout *layout, const struct observed *have,
		 const struct environments *list, const char *name);
/* There is more than one, or there may be. */
bool store_has_owner(const struct layout *layout, const struct observed *have,
		     const struct environments *list);

/* The list of an environment; observe/store.c reads it. */
char *store_list(const char *options, const struct list *kernels);

/* GRUB's menu, of what the store has; `filling` as in environments_make(). */
char *store_menu(const struct layout *layout, const struct observed *have, const char *filling);

/* What a sync makes of the store, and an exchange of /boot, when everything fits. */
void store_model(const struct layout *layout, struct observed *have, const char *filling);
void store_model_take(const struct layout *layout, struct observed *have);

/* Nothing is to be copied or removed, but for the menu. */
bool store_in_step(const struct layout *layout, const struct observed *have, const char *filling);
