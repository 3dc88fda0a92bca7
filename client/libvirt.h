/* SPDX-License-Identifier: MIT */
/*
 * libvirt's client library, loaded when it is needed: most who run pinbroker have no use for it,
 * and it brings a dozen others.
 */
#ifndef CLIENT_LIBVIRT_H
#define CLIENT_LIBVIRT_H

struct libvirt;

/* Why the last call of this process failed, in libvirt's words. */
const char *libvirt_error(const struct libvirt *libvirt);

/**
 * libvirt_open() - a domain that is to be started
 * @uri: of libvirt's daemon on this host
 * @ret_libvirt: free with libvirt_close()
 *
 * Return: 0; -ENOPKG: the library, or one of 9.0 or later, is not installed; -EREMOTEIO:
 * libvirt_error() of *ret_libvirt, which is there then; -ENOMEM.
 */
int libvirt_open(const char *uri, const char *domain, struct libvirt **ret_libvirt);

/* NULL is fine. Descriptors that were associated are closed by the daemon. */
void libvirt_close(struct libvirt *libvirt);
void libvirt_closep(struct libvirt **libvirt);

/* The domain's XML, freed by the caller. NULL: libvirt_error(). */
char *libvirt_xml(struct libvirt *libvirt);

/* Starts it, with a descriptor for its <iommufd fdgroup=''>. Return: 0; -EREMOTEIO. */
int libvirt_start(struct libvirt *libvirt, const char *fdgroup, int fd);

#endif
