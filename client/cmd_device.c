/* SPDX-License-Identifier: MIT */
/*
 * pinbroker device: what a device is, and what it can do when its guest is migrated. The latter is
 * read by root alone, from a device that nobody has; everybody is told what was read last.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounting/size.h"
#include "client/bars.h"
#include "client/cmd.h"
#include "client/device_reader.h"
#include "client/group.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "client/risk.h"
#include "common/cleanup.h"
#include "common/device.h"
#include "common/features.h"

/* Everything that is told. */
struct facts {
	struct device device;
	struct group group;
	struct bars bars;
	char reset[GROUP_RESET_MAX];
	uint64_t session; /* that has it or a member of its group; 0: none that is known */
	bool sessions_unknown; /* there may be some */
	struct features features;
	bool known; /* the features are */
	char why[256]; /* they are not, or were not read now; "" */
};

struct command {
	const struct cmd_env *env;
	char name[DEVICE_NAME_MAX];
	bool json;
	bool cached; /* the device is left alone */
	bool help;
};

/* --- gathering */

static bool in_group(const struct facts *facts, const char *name)
{
	if (strcmp(facts->device.name, name) == 0)
		return true;
	for (size_t i = 0; i < facts->group.n; i++)
		if (strcmp(facts->group.peers[i].name, name) == 0)
			return true;
	return false;
}

static int find_session(const struct pinbroker_session *session, void *arg)
{
	struct facts *facts = arg;

	for (size_t i = 0; i < session->n_devices && !facts->session; i++)
		if (in_group(facts, session->devices[i]))
			facts->session = session->id;
	return 0;
}

/*
 * Sessions outlive a broker: where there has been one, only the next one knows them, by the record
 * beside the socket.
 */
static bool was_broker(const char *socket)
{
	CLEANUP(freep) char *record = NULL;

	if (asprintf(&record, "%s.record", socket) < 0) {
		record = NULL;
		return true;
	}
	return access(record, F_OK) == 0 || errno != ENOENT;
}

/* Where there never was a broker there is no session. Return: 0; the exit status, said on stderr.
 */
static int ask_broker(const struct cmd_env *env, struct facts *facts)
{
	CLEANUP(cmd_disconnectp) struct pinbroker *broker = NULL;
	int err = pinbroker_connect(env->socket, &broker);

	if (err == -ENOENT || err == -ECONNREFUSED) {
		facts->sessions_unknown = was_broker(env->socket);
		return 0;
	}
	if (err)
		return cmd_connect(env, &broker); /* which says why */
	err = pinbroker_list(broker, find_session, facts);
	return err ? cmd_failed(env, broker, err) : 0;
}

__attribute__((format(printf, 2, 3))) static void not_read(struct facts *facts, const char *format,
							   ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(facts->why, sizeof(facts->why), format, args); /* cut when too long */
	va_end(args);
}

static const char *reader_fault(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "its driver did not answer in time";
	case -EINVAL:
		return "it cannot be bound: somebody has it open";
	case -EBUSY:
		return "it cannot be bound: somebody has a device of its group";
	case -ENOENT:
		return "there is no /dev/iommu";
	default:
		return strerror(-err);
	}
}

/* Whether it may be asked now; else it was said why not. */
static bool may_ask(const struct command *command, struct facts *facts)
{
	if (!facts->device.cdev[0])
		not_read(facts, "it has no VFIO character device: bind it to vfio-pci");
	else if (facts->device.host_peer[0])
		not_read(facts, "the host uses %s of its IOMMU group by driver %s",
			 facts->device.host_peer, facts->device.host_peer_driver);
	else if (facts->session)
		not_read(facts, "session %" PRIx64 " has it, or a device of its group",
			 facts->session);
	else if (facts->sessions_unknown)
		not_read(facts, "no broker says whether a session of before has it");
	else if (command->cached)
		not_read(facts, "it was not asked (--cached)");
	else if (geteuid() != 0)
		not_read(facts, "only root may ask it");
	else
		return true;
	return false;
}

/* Asks the device if that may be, and looks up what was read before if not. */
static void read_features(const struct command *command, const char *directory, int sysfs_fd,
			  struct facts *facts)
{
	int err;

	if (may_ask(command, facts)) {
		err = device_reader_read(sysfs_fd, &facts->device, &facts->features);
		facts->known = !err;
		if (err)
			not_read(facts, "%s", reader_fault(err));
		else
			err = features_store(directory, sysfs_fd, &facts->device, &facts->features);
		if (facts->known && err)
			output_error("what was read is not kept: %s: %s", directory,
				     strerror(-err));
		if (facts->known)
			return;
	}
	err = features_load(directory, sysfs_fd, &facts->device, &facts->features);
	facts->known = !err;
	if (err == -EPERM)
		not_read(facts, "%s is not root's alone: what is in it is not believed", directory);
	else if (err == -EBADMSG)
		not_read(facts, "the file in %s cannot be read; ask again as root", directory);
}

static int gather_sysfs(int sysfs_fd, const char *name, struct facts *facts)
{
	int err = device_probe(sysfs_fd, name, &facts->device);

	if (err || !facts->device.found)
		return err;
	err = group_read(sysfs_fd, &facts->device, &facts->group);
	if (!err)
		err = bars_read(sysfs_fd, name, &facts->bars);
	if (!err)
		group_reset(sysfs_fd, &facts->device, facts->reset);
	return err;
}

/* Return: 0; the exit status, said on stderr. */
static int gather(const struct command *command, struct facts *facts)
{
	CLEANUP(fd_closep) int sysfs_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(freep) char *directory = features_directory(command->env->socket);
	int err = sysfs_fd < 0 ? -errno : 0, status;

	if (!err && !directory)
		err = -ENOMEM;
	if (!err)
		err = gather_sysfs(sysfs_fd, command->name, facts);
	if (err)
		return cmd_internal(err);
	if (!facts->device.found) {
		char text[DEVICE_NAME_MAX + 64];

		(void)snprintf(text, sizeof(text), "device %s is not on this host",
			       command->name); /* it fits */
		return cmd_refused("device-not-found", text);
	}
	status = ask_broker(command->env, facts);
	if (!status)
		read_features(command, directory, sysfs_fd, facts);
	return status;
}

/* --- for people */

static const char *word_or(const char *text, const char *otherwise)
{
	return text[0] ? text : otherwise;
}

static void print_group(const struct facts *facts)
{
	if (facts->device.group == DEVICE_NO_GROUP) {
		output_line("group", "none");
		return;
	}
	output_line("group", "%d, with %zu other members", facts->device.group, facts->group.n);
	for (size_t i = 0; i < facts->group.n; i++) {
		const struct group_peer *peer = &facts->group.peers[i];

		output_line("peer", "%s, %s%s%s", peer->name,
			    peer->driver[0] ? "on driver " : "without a driver", peer->driver,
			    peer->bridge ? ", a bridge" : "");
	}
}

static void print_bars(const struct bars *bars)
{
	char size[SIZE_TEXT_MAX];

	for (size_t i = 0; i < bars->n; i++)
		output_line("BAR", "%u, %s", bars->bar[i].index,
			    size_text(bars->bar[i].bytes, size));
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void print_features(const struct facts *facts)
{
	const struct features *f = &facts->features;

	if (!facts->known) {
		output_line("migration", "not known: %s%s", facts->why,
			    facts->device.cdev[0] ? "; root runs pinbroker device before it is used"
						  : "");
		return;
	}
	output_line("migration", "%s%s%s%s", f->migration ? "" : "not possible",
		    f->migration & FEATURES_STOP_COPY ? "STOP_COPY" : "",
		    f->migration & FEATURES_P2P ? " P2P" : "",
		    f->migration & FEATURES_PRE_COPY ? " PRE_COPY" : "");
	output_line("dirty logging", "%s", yes_no(f->dirty_logging));
	if (!facts->device.mdev)
		output_line("PRI", "%s", yes_no(f->pri));
	if (facts->why[0])
		output_line("read", "%" PRIu64 " seconds ago: %s", f->age, facts->why);
	else
		output_line("read", "now");
}

static void print_risks(const struct facts *facts, const struct risks *risks)
{
	(void)facts;
	for (size_t i = 0; i < risks->n; i++)
		output_line("risk", "%s", risks->text[i]);
}

static void print_text(const struct facts *facts, const struct risks *risks)
{
	const struct device *d = &facts->device;

	output_line("device", "%s", d->name);
	if (!d->mdev)
		output_line("id", "%04x:%04x", d->vendor, d->device);
	output_line("driver", "%s", word_or(d->driver, "none"));
	output_line("cdev", "%s", word_or(d->cdev, "none"));
	print_group(facts);
	if (facts->session)
		output_line("session", "%" PRIx64, facts->session);
	if (!d->mdev)
		output_line("reset", "%s", word_or(facts->reset, "none"));
	print_bars(&facts->bars);
	print_features(facts);
	print_risks(facts, risks);
}

/* --- for programs */

static json_t *json_peers(const struct group *group)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < group->n; i++) {
		const struct output_member members[] = {
			{"device", output_json_text(group->peers[i].name)},
			{"driver", output_json_text(group->peers[i].driver)},
			{"bridge", json_boolean(group->peers[i].bridge)},
		};

		if (json_array_append_new(list, output_json_object(members, ARRAY_SIZE(members)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *json_bars(const struct bars *bars)
{
	json_t *list;

	if (!bars->known)
		return json_null();
	list = json_array();
	for (size_t i = 0; list && i < bars->n; i++) {
		const struct output_member members[] = {
			{"index", json_integer(bars->bar[i].index)},
			{"bytes", output_json_figure(bars->bar[i].bytes)},
		};

		if (json_array_append_new(list, output_json_object(members, ARRAY_SIZE(members)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* Words of one line, separated by blanks. */
static json_t *json_words(const char *text)
{
	json_t *list = json_array();

	while (list && text[0]) {
		size_t len = strcspn(text, " ");

		if (len && json_array_append_new(list, json_stringn(text, len))) {
			json_decref(list);
			return NULL;
		}
		text += len + strspn(text + len, " ");
	}
	return list;
}

static json_t *json_risks(const struct risks *risks)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < risks->n; i++)
		if (json_array_append_new(list, output_json_text(risks->text[i]))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *json_features(const struct facts *facts)
{
	const struct features *f = &facts->features;

	if (!facts->known)
		return json_null();

	const struct output_member members[] = {
		{"stop_copy", json_boolean(f->migration & FEATURES_STOP_COPY)},
		{"p2p", json_boolean(f->migration & FEATURES_P2P)},
		{"pre_copy", json_boolean(f->migration & FEATURES_PRE_COPY)},
		{"dirty_logging", json_boolean(f->dirty_logging)},
		{"pri", json_boolean(f->pri)},
		{"age_seconds", output_json_figure(f->age)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static int print_json(const struct facts *facts, const struct risks *risks)
{
	const struct device *d = &facts->device;
	char id[OUTPUT_TEXT_MAX] = "", session[OUTPUT_TEXT_MAX] = "";
	CLEANUP(json_decrefp) json_t *object = NULL;

	if (!d->mdev)
		(void)snprintf(id, sizeof(id), "%04x:%04x", d->vendor, d->device); /* fits */
	if (facts->session)
		(void)snprintf(session, sizeof(session), "%" PRIx64, facts->session); /* fits */

	const struct output_member members[] = {
		{"device", output_json_text(d->name)},
		{"vendor_device", output_json_text(id)},
		{"driver", output_json_text(d->driver)},
		{"cdev", output_json_text(d->cdev)},
		{"group", d->group == DEVICE_NO_GROUP ? json_null() : json_integer(d->group)},
		{"peers", json_peers(&facts->group)},
		{"session", output_json_text(session)},
		{"reset_methods", json_words(facts->reset)},
		{"bars", json_bars(&facts->bars)},
		{"migration", json_features(facts)},
		{"not_read", output_json_text(facts->why)},
		{"risks", json_risks(risks)},
	};

	object = output_json_object(members, ARRAY_SIZE(members));
	return object ? output_json(object) : -ENOMEM;
}

/* --- the command */

static int device_options(const struct cmd_env *env, int argc, char **argv, struct command *command)
{
	static const struct option options[] = {
		{"cached", no_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (opt == 'h') {
			command->help = true;
			return 0;
		}
		if (opt == 'c')
			command->cached = true;
		else if (opt == 'j')
			command->json = true;
		else
			return cmd_bad_option();
	}
	if (optind == argc)
		return cmd_usage(env, "no device named");
	if (optind + 1 != argc)
		return cmd_usage(env, "unexpected argument '%s'", argv[optind + 1]);
	if (device_name(argv[optind], command->name))
		return cmd_usage(env, "'%s' is no PCI address (0000:65:00.0) and no mdev UUID",
				 argv[optind]);
	return 0;
}

static int device_main(const struct cmd_env *env, int argc, char **argv)
{
	struct command command = {.env = env};
	struct facts facts = {.session = 0};
	struct risks risks;
	int status = device_options(env, argc, argv, &command);
	int err = 0;

	if (status)
		return status;
	if (command.help)
		return cmd_help(env);
	output_begin();
	status = gather(&command, &facts);
	if (status)
		return status;
	risk_find(&facts.device, &facts.group, facts.known ? &facts.features : NULL, &risks);
	if (command.json)
		err = print_json(&facts, &risks);
	else
		print_text(&facts, &risks);
	return err ? cmd_internal(err) : output_finish(EX_OK);
}

const struct cmd cmd_device = {
	.name = "device",
	.args = "[--json] [--cached] DEV",
	.summary = "show a device: driver, group, reset, BARs, migration",
	.help = "Shows what a device is and what it can do when its guest is migrated. The latter "
		"is\n"
		"asked of the device itself, by root, while no session has it or a device of its\n"
		"group: it is bound and set free again, which resets many a device. Otherwise "
		"what\n"
		"was read last is shown, with its age.\n\n"
		"  --cached  leave the device alone\n"
		"  --json    an object, sizes in bytes\n"
		"  --help    this text\n",
	.run = device_main,
};
