/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the files go that eyrie generates for a system, below its root; GATE_FILE is another. */
#define PATH_CRYPTTAB	  "/etc/crypttab"
#define PATH_FSTAB	  "/etc/fstab"
#define PATH_MDADM_CONF	  "/etc/mdadm/mdadm.conf"
#define PATH_DRACUT_CONF  "/etc/dracut.conf.d/50-eyrie.conf"
#define PATH_UNLOCK_CONF  "/etc/eyrie/unlock.json"
#define PATH_INITRD_DROPIN "/etc/systemd/system/initrd.target.d/50-eyrie.conf"
#define PATH_IMPORT_UNIT   "/etc/systemd/system/eyrie-import.service"
#define PATH_IMPORT_DROPIN "/etc/systemd/system/zfs-import-.service.d/50-eyrie.conf"
#define PATH_SLEEP_CONF	  "/etc/systemd/sleep.conf.d/50-eyrie.conf"
#define PATH_INITRAMFS_TOOLS_CONF "/etc/initramfs-tools/conf.d/eyrie"
