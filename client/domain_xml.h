/* SPDX-License-Identifier: MIT */
/*
 * libvirt's XML of a domain: bytes in, struct domain or one fault out. Whoever wrote them is not
 * trusted: nothing is loaded, there are no entities and no document type, and what is larger,
 * deeper or longer than a domain can be is refused as soon as it is seen.
 */
#ifndef CLIENT_DOMAIN_XML_H
#define CLIENT_DOMAIN_XML_H

#include <stddef.h>

struct domain;

/* What libvirt itself takes from a client, and gives (REMOTE_STRING_MAX). */
#define DOMAIN_XML_MAX (4U << 20)
/* Elements within each other; libvirt follows 200 backing images, each within the one before. */
#define DOMAIN_XML_DEPTH_MAX 240

struct domain_fault {
	unsigned int line; /* 0: of the whole */
	char text[192]; /* one line; may hold what the file says, so escape it for people */
};

/**
 * domain_read() - all of a file, as long as it may be a domain
 * @fd: borrowed; read from where it stands
 * @ret_bytes: freed by the caller; a NUL follows them
 *
 * Return: 0; -EFBIG: there is more than DOMAIN_XML_MAX; -ENOMEM; -errno of read(2).
 */
int domain_read(int fd, char **ret_bytes, size_t *ret_len);

/**
 * domain_parse() - read a domain
 * @ret_domain: freed by the caller
 * @ret_fault: filled when it fails with -EINVAL
 *
 * What has no bearing on struct domain is ignored, as are elements of other namespaces.
 *
 * Return: 0; -EINVAL: not well-formed, or not a domain; -ENOMEM.
 */
int domain_parse(const char *bytes, size_t len, struct domain **ret_domain,
		 struct domain_fault *ret_fault);

#endif
