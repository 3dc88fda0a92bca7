#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares iommufd/uapi.h and mock.h with a kernel's source: uapi-check.sh [SOURCE], the tree of
# a linux-source package. Every UAPI_X must have X's value there, every field of struct uapi_x
# its place and size in x; x may be longer, for kernels append. What an older kernel lacks is
# listed, not an error.
# Exit status: 0 the same; 1 not; 4 skipped: no source given.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
ours="$here/../../iommufd/uapi.h $here/mock.h"
src=${1:-}
if [ ! -r "$src/include/uapi/linux/iommufd.h" ]; then
	echo "uapi-check: skipped: no kernel source${src:+ in $src}"
	exit 4
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Only these two, in front of the system's: the rest is not for userspace until installed. What
# the test command's header includes is known by then.
mkdir -p "$tmp/linux"
cp "$src/include/uapi/linux/iommufd.h" "$src/include/uapi/linux/vfio.h" "$tmp/linux/"
sed '/^#include/d' "$src/drivers/iommu/iommufd/iommufd_test.h" >"$tmp/test.h"
sed -n '/^#define SO_PEERPIDFD/p' "$src/include/uapi/asm-generic/socket.h" >"$tmp/socket.h"

# The mock domain is one member of the union in the kernel's struct.
rename='s/^iommu_test_mock_domain out_/iommu_test_cmd mock_domain.out_/
	s/^iommu_test_mock_domain/iommu_test_cmd/'

# shellcheck disable=SC2086 # two words
{
	cat <<-'C'
		#include <linux/iommufd.h>
		#include <linux/vfio.h>
		#include <stddef.h>
		#include "socket.h"
		#include "test.h"
		#include "iommufd/uapi.h"
		#include "tests/integration/mock.h"
		#define SIZE(type, field) sizeof(((struct type *)0)->field)
	C
	sed -n 's/^#define UAPI_\([A-Z_]*\) .*/\1/p' $ours | while read -r name; do
		if grep -qw "$name" "$tmp"/linux/*.h "$tmp"/*.h; then
			echo "_Static_assert(UAPI_$name == $name, \"$name\");"
		else
			echo "uapi-check: not in this kernel: $name" >&2
		fi
	done
	# "struct uapi_x {" to "x field" for each of its fields but the reserved ones.
	awk '/^struct uapi_/ { type = substr($2, 6) }
	     /^}/ { type = "" }
	     type && /^\t.*;/ { sub(/;.*/, ""); sub(/\[.*/, ""); print type, $2 }' $ours |
		grep -v -e ' reserved' -e ' pad' | while read -r type field; do
		kernel=$(echo "$type $field" | sed "$rename")
		if ! grep -q "^struct ${kernel% *} {" "$tmp"/linux/*.h "$tmp"/*.h; then
			continue # its command is listed above
		fi
		cat <<-C
			_Static_assert(offsetof(struct uapi_$type, $field) ==
				       offsetof(struct ${kernel% *}, ${kernel#* }), "$kernel: place");
			_Static_assert(SIZE(uapi_$type, $field) ==
				       SIZE(${kernel% *}, ${kernel#* }), "$kernel: size");
			_Static_assert(sizeof(struct uapi_$type) <=
				       sizeof(struct ${kernel% *}), "$kernel: struct");
		C
	done
} >"$tmp/check.c"

if ! "${CC:-cc}" -std=gnu11 -D__user= -iquote "$here/../.." -iquote "$tmp" -I "$tmp" \
	-fsyntax-only "$tmp/check.c"; then
	echo "uapi-check: differs from $src" >&2
	exit 1
fi
echo "uapi-check: $(grep -c _Static_assert "$tmp/check.c") values and fields as in $src"
