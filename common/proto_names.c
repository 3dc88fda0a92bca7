/* SPDX-License-Identifier: MIT */
/* The words for the numbers of the wire. */
#include "common/proto.h"

static const char *const state_names[PROTO_STATES] = {
	[PROTO_STATE_PENDING] = "pending",     [PROTO_STATE_ACTIVE] = "active",
	[PROTO_STATE_IDLE] = "idle",           [PROTO_STATE_ORPHANED] = "orphaned",
	[PROTO_STATE_REVOKED] = "revoked",     [PROTO_STATE_POISONED] = "poisoned",
	[PROTO_STATE_UNMANAGED] = "unmanaged",
};

static const char *const gate_names[PROTO_GATES] = {
	[PROTO_GATE_NONE] = "none",
	[PROTO_GATE_OBSERVE] = "observe",
	[PROTO_GATE_BEST_EFFORT] = "best-effort",
	[PROTO_GATE_EXACT] = "exact",
};

static const char *const holding_names[PROTO_HOLDING_KINDS] = {
	[PROTO_HOLDING_CONTEXT] = "context", [PROTO_HOLDING_CONTAINER] = "container",
	[PROTO_HOLDING_PROCESS] = "process", [PROTO_HOLDING_USER] = "user",
	[PROTO_HOLDING_PAYER] = "payer",     [PROTO_HOLDING_CGROUP] = "cgroup",
};

static const char *const event_names[PROTO_EVENT_KINDS] = {
	[PROTO_EVENT_GRANT] = "grant",
	[PROTO_EVENT_REFUSAL] = "refusal",
	[PROTO_EVENT_SET] = "set",
	[PROTO_EVENT_DEVICE] = "device",
	[PROTO_EVENT_ADOPT] = "adopt",
	[PROTO_EVENT_CLOSE] = "close",
	[PROTO_EVENT_REVOKE] = "revoke",
	[PROTO_EVENT_END] = "end",
	[PROTO_EVENT_ORPHAN] = "orphan",
	[PROTO_EVENT_NEAR_LIMIT] = "near-limit",
	[PROTO_EVENT_SLIP] = "slip",
	[PROTO_EVENT_OPEN] = "open",
	[PROTO_EVENT_MAP] = "map",
	[PROTO_EVENT_COPY] = "copy",
	[PROTO_EVENT_UNMAP] = "unmap",
	[PROTO_EVENT_CHARGE] = "charge",
	[PROTO_EVENT_UNCHARGE] = "uncharge",
	[PROTO_EVENT_BIND] = "bind",
	[PROTO_EVENT_ATTACH] = "attach",
	[PROTO_EVENT_RELEASE] = "release",
	[PROTO_EVENT_DENY] = "deny",
	[PROTO_EVENT_RECOUNT] = "recount",
	[PROTO_EVENT_POISON] = "poison",
	[PROTO_EVENT_KILL] = "kill",
	[PROTO_EVENT_MEMORY_MAX] = "memory-max",
	[PROTO_EVENT_OOM_KILL] = "oom-kill",
	[PROTO_EVENT_PRESSURE] = "pressure",
	[PROTO_EVENT_MIRROR] = "mirror",
	[PROTO_EVENT_MIGRATE] = "migrate",
	[PROTO_EVENT_DISORDER] = "disorder",
};

static const char *const migration_names[PROTO_MIGRATION_STATES] = {
	[PROTO_MIGRATION_ERROR] = "ERROR",       [PROTO_MIGRATION_STOP] = "STOP",
	[PROTO_MIGRATION_RUNNING] = "RUNNING",   [PROTO_MIGRATION_STOP_COPY] = "STOP_COPY",
	[PROTO_MIGRATION_RESUMING] = "RESUMING", [PROTO_MIGRATION_RUNNING_P2P] = "RUNNING_P2P",
	[PROTO_MIGRATION_PRE_COPY] = "PRE_COPY", [PROTO_MIGRATION_PRE_COPY_P2P] = "PRE_COPY_P2P",
};

static const char *const mirror_mode_names[PROTO_MIRROR_MODES] = {
	[PROTO_MIRROR_OFF] = "off",     [PROTO_MIRROR_PROTECT] = "protect",
	[PROTO_MIRROR_CAP] = "cap",     [PROTO_MIRROR_BOTH] = "both",
	[PROTO_MIRROR_TRACK] = "track",
};

static const char *const mirror_by_names[PROTO_MIRROR_BYS] = {
	[PROTO_MIRROR_BY_NOBODY] = "nobody",
	[PROTO_MIRROR_BY_BROKER] = "broker",
	[PROTO_MIRROR_BY_SYSTEMD] = "systemd",
};

const char *proto_state_name(uint32_t state)
{
	return state < PROTO_STATES ? state_names[state] : "unknown";
}

const char *proto_gate_name(uint32_t gate)
{
	return gate < PROTO_GATES ? gate_names[gate] : "unknown";
}

const char *proto_holding_name(uint32_t kind)
{
	return kind < PROTO_HOLDING_KINDS ? holding_names[kind] : "unknown";
}

const char *proto_event_name(uint32_t kind)
{
	return kind < PROTO_EVENT_KINDS ? event_names[kind] : "unknown";
}

const char *proto_migration_name(uint64_t state)
{
	return state < PROTO_MIGRATION_STATES ? migration_names[state] : "unknown";
}

const char *proto_mirror_mode_name(uint32_t mode)
{
	return mode < PROTO_MIRROR_MODES ? mirror_mode_names[mode] : "unknown";
}

const char *proto_mirror_by_name(uint32_t by)
{
	return by < PROTO_MIRROR_BYS ? mirror_by_names[by] : "unknown";
}
