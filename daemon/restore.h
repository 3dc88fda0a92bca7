/* SPDX-License-Identifier: MIT */
/*
 * After a start: what the daemon before left in the record becomes sessions and owners again, and
 * what it was just doing when it was killed is undone.
 */
#ifndef DAEMON_RESTORE_H
#define DAEMON_RESTORE_H

struct broker;

/**
 * restore_sessions() - take over from the daemon before
 *
 * A session comes back, with its id, name, share and devices, while its owner lives and its
 * descriptors may have been sent; any other is dropped. Limits are as they were until
 * owner_revived(). Entries that make no sense are dropped and logged.
 *
 * Return: 0; -ENOMEM, -EMFILE and whatever else proves nothing: not all could be taken over, and
 * none was dropped for that.
 */
int restore_sessions(struct broker *broker);

#endif
