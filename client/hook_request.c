/* SPDX-License-Identifier: MIT */
/* What a domain asks for: memory and devices, and for whom, by its security label or qemu.conf. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/guest.h"
#include "client/domain.h"
#include "client/domain_xml.h"
#include "client/hook.h"
#include "client/output.h"
#include "client/subject.h"
#include "common/cleanup.h"
#include "common/proto.h"

/* "+107", or a name, which may be a number. Return: 0; -ENOENT. */
static int resolve_user(const char *text, struct passwd *ret_user)
{
	const struct passwd *entry;
	uid_t uid;

	entry = text[0] == '+' ? NULL : getpwnam(text);
	if (entry) {
		*ret_user = *entry;
		return 0;
	}
	if (!subject_parse_id(text + (text[0] == '+'), &uid))
		return -ENOENT;
	entry = getpwuid(uid);
	*ret_user = entry ? *entry : (struct passwd){.pw_uid = uid, .pw_gid = (gid_t)-1};
	return 0;
}

/* Of a user that has no name: the number of the group that the label says. */
static void resolve_groups(const struct passwd *user, const char *group,
			   struct hook_request *request)
{
	int n = HOOK_GIDS_MAX;
	gid_t gid;

	request->subject.gids = request->gids;
	if (user->pw_name) {
		if (getgrouplist(user->pw_name, user->pw_gid, request->gids, &n) < 0)
			n = HOOK_GIDS_MAX; /* the others are of no policy's interest */
		request->subject.n_gids = (size_t)n;
	} else if (group && subject_parse_id(group + (group[0] == '+'), &gid)) {
		request->gids[0] = gid;
		request->subject.n_gids = 1;
	}
}

static char *read_qemu_conf(void)
{
	CLEANUP(fd_closep) int fd = open(HOOK_QEMU_CONF, O_RDONLY | O_CLOEXEC);
	char *bytes = NULL;
	size_t len;

	return fd >= 0 && domain_read(fd, &bytes, &len) == 0 ? bytes : NULL;
}

/* "USER:GROUP" or "USER", freed by the caller: where the domain has no label, by qemu.conf. */
static int owner_label(const struct domain *domain, char **ret_label)
{
	CLEANUP(freep) char *conf = NULL;

	if (!domain->dac_label[0]) {
		conf = read_qemu_conf();
		return hook_qemu_user(conf, ret_label);
	}
	*ret_label = strdup(domain->dac_label);
	return *ret_label ? 0 : -ENOMEM;
}

/* As libvirt will. */
static int resolve_owner(const struct domain *domain, struct hook_request *request)
{
	CLEANUP(freep) char *label = NULL;
	struct passwd user;
	char *group;
	int err = owner_label(domain, &label);

	if (err)
		return err;
	group = strchr(label, ':');
	if (group)
		*group++ = '\0';
	err = resolve_user(label, &user);
	if (err) {
		output_error("no user '%s' on this host, whom domain '%s' is to run as", label,
			     domain->name);
		return err;
	}
	request->subject.uid = user.pw_uid;
	resolve_groups(&user, group, request);
	return 0;
}

/* Its session is called like it, with other bytes than a name may have as "_". */
static void set_name(const char *name, struct hook_request *request)
{
	size_t len = strnlen(name, PROTO_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		request->name[i] = '_';
	for (size_t i = 0; i < len; i++)
		if (strchr(PROTO_NAME_CHARS, name[i]))
			request->name[i] = name[i];
	request->request.name = request->name;
}

static int set_devices(const struct domain *domain, struct hook_request *request)
{
	for (size_t i = 0; i < domain->n_hostdevs; i++) {
		if (!domain_by_iommufd(domain, &domain->hostdevs[i]))
			continue;
		if (request->request.n_devices == PINBROKER_DEVICES_MAX) {
			output_error("domain '%s' has more than %d devices by iommufd",
				     domain->name, PINBROKER_DEVICES_MAX);
			return -E2BIG;
		}
		request->devices[request->request.n_devices++] = domain->hostdevs[i].name;
	}
	request->request.devices = request->devices;
	return 0;
}

static int set_guest(const struct domain *domain, struct hook_request *request)
{
	struct guest guest;
	int err = domain_guest(domain, &guest);

	if (err)
		return err;
	request->request.memory = guest.memory;
	request->request.viommu = guest.viommu;
	return 0;
}

static int say_unknown(const struct domain *domain, int err)
{
	if (err)
		output_error("cannot tell what domain '%s' needs: %s", domain->name,
			     strerror(-err));
	return err;
}

/* All but for whom. */
static int request_begin(const struct domain *domain, struct hook_request *ret_request)
{
	*ret_request = (struct hook_request){.subject = PINBROKER_SUBJECT_INIT};
	ret_request->subject.domain = domain->name;
	set_name(domain->name, ret_request);
	return set_devices(domain, ret_request);
}

int hook_request(const struct domain *domain, struct hook_request *ret_request)
{
	int err = request_begin(domain, ret_request);

	if (err)
		return err;
	err = resolve_owner(domain, ret_request);
	if (!err)
		err = set_guest(domain, ret_request);
	if (!err)
		err = domain_slice(domain, &ret_request->cgroup);
	ret_request->subject.cgroup = ret_request->cgroup;
	return say_unknown(domain, err);
}

int hook_request_session(const struct domain *domain, int pidfd, struct hook_request *ret_request)
{
	int err = request_begin(domain, ret_request);

	ret_request->subject.pidfd = pidfd;
	return err ? err : say_unknown(domain, set_guest(domain, ret_request));
}

void hook_request_fini(struct hook_request *request)
{
	free(request->cgroup);
	request->cgroup = NULL;
}
