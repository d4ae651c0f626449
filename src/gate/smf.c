/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/smf.h"

#include "base/str.h"

char *smf_name(const char *dataset)
{
	char *name = str_dup(dataset);

	for (char *s = name; *s; s++)
		if (*s == '/' || *s == ' ' || *s == ':')
			*s = '-';
	return name;
}

/*
 * Between single-user and the service that mounts all local file systems, as in the article.
 * The method's failure is final, so that startd goes to maintenance and waits for svcadm clear.
 */
char *smf_manifest(const char *dataset)
{
	_cleanup_free_ char *name = smf_name(dataset);

	return str_printf(
		"<?xml version=\"1.0\"?>\n"
		"<!DOCTYPE service_bundle SYSTEM \"/usr/share/lib/xml/dtd/service_bundle.dtd.1\">\n"
		"<!-- Made by eyrie(8); svccfg import takes it. -->\n"
		"<service_bundle type='manifest' name='eyrie-gate-%s'>\n"
		"  <service name='system/filesystem/%s' type='service' version='1'>\n"
		"    <create_default_instance enabled='true' />\n"
		"    <single_instance />\n"
		"    <dependency name='single-user' grouping='require_all' restart_on='none' "
		"type='service'>\n"
		"      <service_fmri value='svc:/milestone/single-user' />\n"
		"    </dependency>\n"
		"    <dependent name='eyrie-gate-%s' grouping='require_all' restart_on='none'>\n"
		"      <service_fmri value='svc:/system/filesystem/local' />\n"
		"    </dependent>\n"
		"    <exec_method type='method' name='start' exec='/lib/svc/method/eyrie-gate "
		"%%m' timeout_seconds='60' />\n"
		"    <exec_method type='method' name='stop' exec=':true' timeout_seconds='60' />\n"
		"    <property_group name='startd' type='framework'>\n"
		"      <propval name='duration' type='astring' value='transient' />\n"
		"    </property_group>\n"
		"    <property_group name='eyrie' type='application'>\n"
		"      <propval name='dataset' type='astring' value='%s' />\n"
		"    </property_group>\n"
		"    <stability value='Unstable' />\n"
		"    <template>\n"
		"      <common_name>\n"
		"        <loctext xml:lang='C'>Load key for '%s'</loctext>\n"
		"      </common_name>\n"
		"    </template>\n"
		"  </service>\n"
		"</service_bundle>\n",
		name, name, name, dataset, dataset);
}

/*
 * illumos' sh and zfs(8). Every encryption root at or below the dataset is asked for: one that
 * has its key says "available".
 */
char *smf_method(void)
{
	return str_dup("#!/bin/sh\n"
		       "# /lib/svc/method/eyrie-gate, made by eyrie gate emit --smf --method.\n"
		       "\n"
		       ". /lib/svc/share/smf_include.sh\n"
		       "\n"
		       "case \"$1\" in\n"
		       "start)\n"
		       "\tdataset=`/usr/bin/svcprop -p eyrie/dataset \"$SMF_FMRI\"` ||\n"
		       "\t\texit $SMF_EXIT_ERR_CONFIG\n"
		       "\tstatus=`/usr/sbin/zfs get -rH -o value keystatus \"$dataset\"` ||\n"
		       "\t\texit $SMF_EXIT_ERR_FATAL\n"
		       "\tcase $status in\n"
		       "\t*unavailable*)\n"
		       "\t\techo \"Run '/usr/sbin/zfs load-key -r $dataset &&\" \\\n"
		       "\t\t\t\"/usr/sbin/svcadm clear $SMF_FMRI'\" | smf_console\n"
		       "\t\texit $SMF_EXIT_ERR_FATAL\n"
		       "\t\t;;\n"
		       "\tesac\n"
		       "\t;;\n"
		       "*)\n"
		       "\techo \"Usage: $0 start\"\n"
		       "\texit $SMF_EXIT_ERR_CONFIG\n"
		       "\t;;\n"
		       "esac\n"
		       "exit $SMF_EXIT_OK\n");
}
