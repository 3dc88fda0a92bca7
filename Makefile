# SPDX-License-Identifier: MIT
# One non-recursive Makefile: the source list of each program is its link map.
# Targets: all install check check-all demo lint soak vm-shell vm-test clean. Knobs: V=1 WERROR=1
# SAN=address,undefined CC= CFLAGS= DESTDIR= prefix= (and the *dir variables below).
prefix ?= /usr/local
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
sysconfdir ?= /etc
mandir ?= $(prefix)/share/man
docdir ?= $(prefix)/share/doc/pinbroker
libvirthooksdir ?= $(sysconfdir)/libvirt/hooks
systemdsystemunitdir ?= $(prefix)/lib/systemd/system
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d
bashcompletiondir ?= $(prefix)/share/bash-completion/completions
PKG_CONFIG ?= pkg-config
INSTALL ?= install
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
CPPCHECK ?= cppcheck
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
CFLAGS ?= -O2 -g

B := build$(if $(SAN),-san)
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-5s %s\n' $(1) $(patsubst $(B)/%,%,$@))
try = $(shell $(CC) -Werror $(1) -S -o /dev/null -xc /dev/null 2>/dev/null && echo $(1))
comma := ,
obj = $(patsubst %.c,$(B)/%.o,$(1))

VERSION := 0.1.0
soname := libpinbroker.so.0
DAEMON_PKGS := libbpf liburing libcgroup libconfuse libsystemd libseccomp libcap
CLIENT_PKGS := libconfuse jansson libxml-2.0
TEST_PKGS := cunit
WARN := -Wall -Wextra -Wshadow -Wvla -Wundef -Wformat=2 -Wcast-qual -Wpointer-arith \
	-Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough
# Each flag is probed: clang 14 refuses one of them, other compilers others.
HARD := $(foreach f,-fstack-protector-strong -fstack-clash-protection -fcf-protection \
	-ftrivial-auto-var-init=zero,$(call try,$f)) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(DAEMON_PKGS) $(CLIENT_PKGS) $(TEST_PKGS))
DAEMON_LIBS := $(shell $(PKG_CONFIG) --libs $(DAEMON_PKGS))
CLIENT_LIBS := $(shell $(PKG_CONFIG) --libs $(CLIENT_PKGS))
TEST_LIBS := $(shell $(PKG_CONFIG) --libs $(TEST_PKGS))

defines = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPINBROKER_VERSION=\"$(VERSION)\" \
	-DPINBROKER_SYSCONFDIR=\"$(sysconfdir)\" -I. -isystem $(skeleton)
skeleton = $(B)
ours = -std=gnu11 $(filter-out -I.,$(defines)) -iquote . $(PKG_CFLAGS) $(WARN) $(pic) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer,$(HARD)) \
	$(if $(WERROR),-Werror)
# Objects of the shared library are under pic/, all others are for programs.
pic = -fPIE
link = -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))

accounting := accounting/admission.c accounting/glob.c accounting/guest.c accounting/ledger.c accounting/limits.c accounting/mirror.c \
	accounting/policy.c accounting/policy_check.c accounting/policy_keys.c \
	accounting/policy_match.c accounting/policy_parse.c accounting/policy_scan.c \
	accounting/size.c
cgroup := $(addprefix cgroup/,events.c file.c group.c kin.c manager.c place.c place_make.c \
	processes.c tree.c walk.c)
# What both programs have of common/, and what each has alone.
common := common/conffile.c common/device.c common/features.c common/fdmsg.c common/names.c common/proto.c \
	common/proto_names.c common/sockfile.c common/stdfds.c common/sys.c
daemon := $(addprefix daemon/,main.c access.c audit.c broker.c bucket.c budget.c closer.c \
	config.c explain.c fdstore.c grant.c handoff.c handoff_give.c handoff_listen.c handoff_record.c host_report.c hunt.c listener.c lobby.c loop.c loop_epoll.c loop_timer.c \
	loop_uring.c memlock.c migration.c mirror.c mirror_event.c mirror_group.c mirror_plan.c mirror_purge.c \
	mirror_report.c mirror_turn.c mirror_view.c mirror_work.c order.c owner.c payer.c peer.c petition.c place.c place_work.c plug.c process.c procfs.c record.c \
	report.c request.c reserve.c restore.c sandbox.c sandbox_calls.c selftest.c session.c status.c trace.c \
	trace_switch.c unmanaged.c warden.c worker.c) \
	$(addprefix bpf/,gate.c gate_expect.c gate_index.c gate_load.c gate_other.c gate_pool.c gate_purge.c gate_spare.c host.c hunter.c tracer.c) \
	iommufd/cdev.c iommufd/iommu.c \
	common/log.c $(accounting) $(cgroup) $(common)
library := $(addprefix client/,ask.c connection.c lib_explain.c lib_host.c lib_mirror.c lib_open.c lib_order.c \
	lib_session.c lib_status.c lib_trace.c pages.c) common/fdmsg.c common/proto.c common/proto_names.c common/sys.c
# libvirt's domains: bytes in, numbers out.
domain := $(addprefix client/,domain.c domain_rules.c domain_value.c domain_xml.c)
hook := $(addprefix client/,hook_config.c hook_filter.c hook_request.c hook_state.c)
command := $(addprefix client/,main.c bars.c cmd.c cmd_attach.c cmd_device.c cmd_explain.c cmd_handoff.c cmd_host.c cmd_list.c cmd_order.c \
	cmd_preflight.c cmd_run.c cmd_status.c cmd_top.c cmd_trace.c cmd_virsh.c decision.c device_reader.c explain_config.c explanation.c group.c launch.c \
	libvirt.c libvirt_session.c mirror.c output.c placeholder.c preflight.c preflight_print.c request.c risk.c screen.c setting.c subject.c) \
	iommufd/cdev.c iommufd/feature.c $(domain) $(hook) $(accounting) $(common) $(filter-out common/%,$(library))
libvirt_hook := client/hook.c $(hook) $(domain) client/output.c client/subject.c client/cmd.c $(accounting) \
	$(common) $(filter-out common/%,$(library))
# A file in tests/unit/ is a suite or a fixture: all of them belong to it.
unit := $(sort $(wildcard tests/unit/*.c)) \
	$(filter-out daemon/main.c,$(daemon)) $(filter-out common/%,$(library)) $(domain) $(hook) \
	iommufd/feature.c $(addprefix client/,bars.c cmd.c group.c libvirt_session.c mirror.c output.c placeholder.c preflight.c risk.c screen.c setting.c subject.c)
client := tests/integration/client.c accounting/size.c $(library)
attack := tests/integration/attack.c $(library)
activate := tests/integration/activate.c
cgroups := tests/integration/cgroups.c daemon/sandbox_calls.c $(cgroup)
eater := tests/integration/eater.c accounting/size.c
flood := tests/integration/flood.c $(addprefix tests/bench/,grant.c samples.c) common/fdmsg.c \
	common/proto.c common/sys.c
gate := $(addprefix tests/integration/gate,.c _argument.c _call.c _command.c _crowd.c _fault.c \
	_helper.c _honest.c _limit.c _model.c _race.c _random.c _rows.c _stuck.c _watch.c) \
	accounting/size.c common/fdmsg.c common/sys.c
holder := tests/integration/holder.c accounting/size.c
inject := tests/integration/inject.c
killer := tests/integration/killer.c
manager := tests/integration/manager.c accounting/size.c client/placeholder.c client/setting.c \
	$(library)
noise := tests/integration/noise.c
pace := tests/integration/pace.c $(library)
prey := tests/integration/prey.c common/fdmsg.c common/sys.c
store := tests/integration/store.c
vmm := tests/integration/vmm.c tests/integration/migration.c tests/integration/vmm_device.c tests/integration/vmm_late.c \
	tests/integration/vmm_map.c accounting/size.c common/sys.c
fuzz_policy := tests/fuzz/fuzz_policy.c $(accounting)
fuzz_domain := tests/fuzz/fuzz_domain.c $(domain) accounting/guest.c accounting/limits.c accounting/mirror.c \
	common/device.c
# A kernel, its processes, a loop and a log of its own stand in for the real ones.
fuzz_world := $(addprefix tests/fuzz/,fuzz_answer.c fuzz_books.c fuzz_broker.c fuzz_kernel.c \
	fuzz_process.c fuzz_talk.c fuzz_wire.c) tests/unit/fake_devices.c
fuzz_daemon := $(filter-out daemon/main.c daemon/loop%.c daemon/procfs.c common/log.c,$(daemon))
fuzz_wrap := -Wl,--wrap=syscall -Wl,--wrap=fstat64 -Wl,--wrap=clock_gettime
fuzz_proto := tests/fuzz/fuzz_proto.c $(fuzz_world) $(fuzz_daemon)
fuzz_record := tests/fuzz/fuzz_record.c $(fuzz_world) $(fuzz_daemon)
fuzz_seeds := $(addprefix tests/fuzz/,seed.c seeds.c seeds_orders.c seeds_record.c) common/proto.c
bench := $(addprefix tests/bench/,bench.c grant.c samples.c server.c) common/proto.c
bare := tests/bench/bare.c common/proto.c
bench_mirror := $(addprefix tests/bench/,grant.c mirror.c samples.c server.c) $(library)
bench_gate := $(addprefix tests/bench/,gate.c gate_lab.c samples.c script.c) \
	$(addprefix bpf/,gate.c gate_index.c gate_other.c gate_pool.c gate_purge.c)
tests := $(sort $(wildcard tests/integration/*.sh))
scripts := $(tests) $(wildcard tests/again/*.sh tests/modular/*.sh) $(addprefix tests/,bench/gate-run bench/mirror-run bench/run check-all check-docs check-install \
	check-layers check-library demo deps fuzz/run integration/again.bash integration/confined.bash \
	integration/gate.bash integration/lib.bash integration/libvirt.bash integration/prey.bash run soak uapi-check \
	uapi-check-all vm/chroot vm/job vm/kernel vm/lib.sh vm/qemu10 vm/rootfs vm/selftest \
	vm/shell vm/vm) contrib/qemu/rootless-qemu contrib/qemu/systemd-run-qemu .ci/run
man := libpinbroker.3 pinbroker.1 pinbroker-bpf.7 pinbroker-cgroup.7 pinbroker-kubevirt.7 pinbroker-libvirt.7 pinbroker-protocol.7 \
	pinbroker.conf.5 pinbrokerd.8
headers := $(wildcard common/*.h accounting/*.h cgroup/*.h iommufd/*.h daemon/*.h client/*.h) \
	$(filter-out bpf/core_types.h %.bpf.h,$(wildcard bpf/*.h))
bpf := $(addprefix bpf/,gate.bpf.c host.bpf.c hunt.bpf.c trace.bpf.c) $(wildcard bpf/*.bpf.h) bpf/core_types.h \
	bpf/expect_map.h bpf/gate_map.h bpf/host_map.h bpf/hunt_map.h bpf/trace_event.h

all: $(B)/pinbrokerd $(B)/pinbroker $(B)/50-pinbroker $(B)/$(soname)

$(B)/pinbrokerd: $(call obj,$(daemon))
$(B)/pinbrokerd: LDLIBS += $(DAEMON_LIBS)
$(B)/pinbroker: $(call obj,$(command))
$(B)/pinbroker: LDLIBS += $(CLIENT_LIBS)
$(B)/50-pinbroker: $(call obj,$(libvirt_hook))
$(B)/50-pinbroker: LDLIBS += $(CLIENT_LIBS)
$(B)/unit: $(call obj,$(unit))
# tests/unit/: faults.h, cgm_fixture.h, fake_clock.h, test_fdstore.c, fake_cgroups.h, mirror_fixture.h
unit_wraps := malloc calloc clock_gettime getsockopt recvmsg gate_spare_restore gate_spare_each \
	cgroup_add_controller cgroup_add_value_string cgroup_free cgroup_modify_cgroup cgroup_new_cgroup \
	$(addprefix cgm_,events_open group_find group_limits group_name group_set group_usage \
	manager_free manager_new manager_set manager_unit place_find place_make place_move \
	place_remove populated_open pressure_open tree_huge_in_memory tree_open) procfs_cgroup \
	warden_figures warden_watch worker_free worker_new worker_put worker_start
$(B)/unit: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,$(unit_wraps))
$(B)/unit: LDLIBS += $(TEST_LIBS) $(DAEMON_LIBS) $(CLIENT_LIBS)
$(B)/tests/vmm: $(call obj,$(vmm))
$(B)/tests/activate: $(call obj,$(activate))
$(B)/tests/client: $(call obj,$(client))
$(B)/tests/attack: $(call obj,$(attack))
$(B)/tests/cgroups: $(call obj,$(cgroups))
$(B)/tests/cgroups: LDLIBS += $(DAEMON_LIBS)
$(B)/tests/eater: $(call obj,$(eater))
$(B)/tests/flood: $(call obj,$(flood))
$(B)/tests/gate: $(call obj,$(gate))
$(B)/tests/holder: $(call obj,$(holder))
$(B)/tests/holder: LDLIBS += $(DAEMON_LIBS)
$(B)/tests/inject: $(call obj,$(inject))
$(B)/tests/inject: LDLIBS += $(DAEMON_LIBS)
$(B)/tests/killer: $(call obj,$(killer))
$(B)/tests/manager: $(call obj,$(manager))
$(B)/tests/noise: $(call obj,$(noise))
$(B)/tests/pace: $(call obj,$(pace))
$(B)/tests/prey: $(call obj,$(prey))
$(B)/tests/prey: LDLIBS += $(DAEMON_LIBS)
$(B)/tests/store: $(call obj,$(store))
$(B)/tests/store: LDLIBS += $(DAEMON_LIBS)
test_programs := $(addprefix $(B)/tests/,activate attack cgroups client eater flood gate holder inject killer manager \
	noise pace prey store vmm)
$(B)/pinbrokerd $(B)/pinbroker $(B)/50-pinbroker $(B)/unit $(test_programs):
	$(Q)mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(link) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The standard library alone, and nothing from or to anywhere else: no module, no cache of the user's.
GO ?= go
lab_programs := $(B)/tests/receiver
$(B)/tests/receiver: tests/integration/receiver.go
	$(Q)mkdir -p $(@D)
	$(call say,GO)
	$(Q)GO111MODULE=off GOPROXY=off GOFLAGS= CGO_ENABLED=0 GOCACHE=$(abspath $(B))/go-cache \
		GOPATH=$(abspath $(B))/go $(GO) build -trimpath -o $@ $<

# The same daemon with another object, as a newer version's is: tests/integration/gate_restart.sh
next := $(patsubst $(B)/bpf/%,$(B)/next/bpf/%,$(call obj,$(daemon)))
$(B)/next/pinbrokerd: $(next)
$(B)/next/pinbrokerd: LDLIBS += $(DAEMON_LIBS)
$(B)/next/%.o: skeleton = $(B)/next
test_programs += $(B)/next/pinbrokerd
$(B)/next/pinbrokerd:
	$(Q)mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(link) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What the library has of common/ is hidden: the version script exports pinbroker_* alone.
$(B)/$(soname): $(patsubst %.c,$(B)/pic/%.o,$(library)) client/libpinbroker.map
	$(call say,LINK)
	$(Q)$(CC) -shared -Wl,-soname,$(soname),--version-script=client/libpinbroker.map \
		$(filter-out -pie,$(link)) $(if $(SAN),,-Wl,-z,defs) $(LDFLAGS) -o $@ $(filter %.o,$^)

# Fuzzers are built by tests/fuzz/run, with clang and a SAN and B of their own.
$(B)/fuzz_domain: $(call obj,$(fuzz_domain))
$(B)/fuzz_domain: LDLIBS += -fsanitize=fuzzer $(CLIENT_LIBS)
$(B)/fuzz_policy: $(call obj,$(fuzz_policy))
$(B)/fuzz_policy: LDLIBS += -fsanitize=fuzzer $(DAEMON_LIBS)
$(B)/fuzz_proto: $(call obj,$(fuzz_proto))
$(B)/fuzz_proto: LDLIBS += -fsanitize=fuzzer $(DAEMON_LIBS) $(fuzz_wrap)
$(B)/fuzz_record: $(call obj,$(fuzz_record))
$(B)/fuzz_record: LDLIBS += -fsanitize=fuzzer $(DAEMON_LIBS) $(fuzz_wrap)
$(B)/fuzz_seeds: $(call obj,$(fuzz_seeds))
$(B)/bench/bench: $(call obj,$(bench))
$(B)/bench/bare: $(call obj,$(bare))
$(B)/bench/mirror: $(call obj,$(bench_mirror))
$(B)/bench/gate: $(call obj,$(bench_gate))
$(B)/bench/gate: LDLIBS += $(DAEMON_LIBS)
bench_programs := $(addprefix $(B)/bench/,bench bare gate mirror)
fuzz_programs := $(addprefix $(B)/fuzz_,domain policy proto record seeds)
$(fuzz_programs) $(bench_programs):
	$(Q)mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(link) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The programs in the kernel: one object, in the daemon as a skeleton. Where linux/types.h needs
# asm/, that is the host's, which clang does not look for when it compiles for BPF.
bpf_objects := $(patsubst %.c,$(B)/%.o,$(filter %.bpf.c,$(bpf)))
bpf_next := $(B)/tests/integration/gate_next.bpf.o
$(bpf_objects) $(bpf_next): $(B)/%.o: %.c $(bpf)
	$(call say,BPF)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter \
		$(if $(WERROR),-Werror) -D__TARGET_ARCH_$(subst x86_64,x86,$(shell uname -m)) \
		-iquote . -idirafter /usr/include/$(shell uname -m)-linux-gnu -c -o $@ $<

$(B)/gate.bpf.o: $(bpf_objects)
	$(call say,LINK)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/next/gate.bpf.o: $(bpf_objects) $(bpf_next)
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/gate.skel.h $(B)/next/gate.skel.h: %.skel.h: %.bpf.o
	$(call say,SKEL)
	$(Q)$(BPFTOOL) gen skeleton $< name gate_bpf >$@

$(B)/bpf/gate.o $(B)/bpf/gate_load.o $(B)/bpf/hunter.o $(B)/bpf/tracer.o $(B)/tests/bench/gate_lab.o: $(B)/gate.skel.h
$(filter $(B)/next/%,$(next)): $(B)/next/gate.skel.h

# A suite may include the file it tests to reach its static functions.
$(B)/%.o: %.c
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ours) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/next/%.o: %.c
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ours) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/pic/%.o: pic = -fPIC
$(B)/pic/%.o: %.c
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ours) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# What tests run.
tests: all $(B)/unit $(test_programs)

# The part of the tests that needs no VM and no root: under a minute.
check: tests check-headers check-layers check-docs check-install \
	check-library
	$(Q)$(B)/unit

# The unit tests alone, for builds with sanitizers: make SAN=address,undefined unit-run
unit-run: $(B)/unit $(B)/pinbroker
	$(Q)$(B)/unit

# Each header compiles on its own.
check-headers:
	$(call say,CHECK)
	$(Q)for h in $(headers); do $(CC) $(ours) -fsyntax-only -xc $$h || exit 1; done

check-layers:
	$(call say,CHECK)
	$(Q)tests/check-layers

check-docs: all
	$(call say,CHECK)
	$(Q)B=$(B) tests/check-docs

# What "make install" installs, and whether the units are sound and confine the daemon.
check-install: all
	$(call say,CHECK)
	$(Q)B=$(B) MAKE=$(MAKE) tests/check-install || [ $$? = 4 ]

# The library as others get it: installed, found by pkg-config, linked and run.
check-library: all
	$(call say,CHECK)
	$(Q)B=$(B) CC='$(CC)' MAKE='$(MAKE)' tests/check-library

# Everything, on a bare Debian 12 as root: installs what is missing first.
check-all:
	$(Q)tests/check-all

# Ten seconds each from the corpus; FUZZ_SECONDS=600 for more. Needs clang.
fuzz:
	$(Q)tests/fuzz/run || [ $$? = 4 ]

# Grants beside a bare helper that makes the same system calls; BENCH=--json
bench: all $(bench_programs)
	$(Q)B=$(B) tests/bench/run $(BENCH)

# What the gate costs; BENCH='small foreign' for some of it.
bench-gate: $(B)/bench/gate
	$(Q)B=$(B) tests/bench/gate-run $(BENCH)

# What mirroring costs those who ask.
bench-mirror: all $(B)/bench/mirror
	$(Q)B=$(B) tests/bench/mirror-run $(BENCH)

demo:
	$(Q)tests/demo

# The big numbers; takes hours. K=6.12 for one kernel.
soak: all $(test_programs) $(lab_programs)
	$(Q)tests/soak $(addprefix -k ,$(K))

# The lab: its tests (make vm-test T=tests/integration/run.sh K=6.12), and a prompt in it.
T ?= $(tests)
vm-test: all $(test_programs) $(lab_programs)
	$(Q)tests/run $(addprefix -k ,$(K)) $(T)

vm-shell: all $(test_programs) $(lab_programs)
	$(Q)tests/vm/shell

# unix.Malloc, misc-include-cleaner and cppcheck's memleak do not know the cleanup attribute: the
# leak gate is gcc -fanalyzer and the sanitizers.
sources := $(sort $(fuzz_domain) $(fuzz_policy) $(fuzz_proto) $(fuzz_record) $(fuzz_seeds) \
	$(bench) $(bare) $(bench_gate) $(bench_mirror) $(daemon) $(command) $(libvirt_hook) $(unit) $(vmm) $(activate) $(attack) $(cgroups) $(client) $(eater) $(flood) \
	$(gate) $(holder) $(inject) $(killer) $(manager) $(noise) $(pace) $(prey) $(store))
each = printf '%s\n' $(1) | xargs -P $(shell nproc) -n 1
lint: $(B)/gate.skel.h
	$(call say,LINT)
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(sources) $(headers) $(bpf)
	$(Q)$(call each,$(sources)) sh -c '$(CLANG_TIDY) --quiet $$0 -- $(defines) $(PKG_CFLAGS) 2>&1 | \
		if grep -E "(warning|error):" -A 5; then exit 1; fi'
	$(Q)$(CPPCHECK) --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
		--inline-suppr --suppress=memleak -j $(shell nproc) $(defines) $(sources)
	$(Q)$(call each,$(filter-out tests/%,$(sources))) \
		$(CC) $(ours) -O2 -fanalyzer -Werror -c -o /dev/null
	$(Q)mandoc -T lint -W warning man/*.[0-9]
	$(Q)for m in man/*.[0-9]; do groff -ww -mdoc -Tutf8 -z $$m || exit 1; done
	$(Q)shellcheck -x $(scripts)

install: all
	$(INSTALL) -D -m 0755 $(B)/pinbrokerd $(DESTDIR)$(sbindir)/pinbrokerd
	$(INSTALL) -D -m 0755 $(B)/pinbroker $(DESTDIR)$(bindir)/pinbroker
	$(INSTALL) -D -m 0755 $(B)/50-pinbroker $(DESTDIR)$(libvirthooksdir)/qemu.d/50-pinbroker
	$(INSTALL) -D -m 0755 $(B)/$(soname) $(DESTDIR)$(libdir)/libpinbroker.so.$(VERSION)
	ln -sf libpinbroker.so.$(VERSION) $(DESTDIR)$(libdir)/$(soname)
	ln -sf $(soname) $(DESTDIR)$(libdir)/libpinbroker.so
	$(INSTALL) -D -m 0644 client/pinbroker.h $(DESTDIR)$(includedir)/pinbroker.h
	$(INSTALL) -d $(DESTDIR)$(libdir)/pkgconfig
	sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
		-e 's|@version@|$(VERSION)|' client/libpinbroker.pc.in \
		>$(DESTDIR)$(libdir)/pkgconfig/libpinbroker.pc
	for m in $(man); do \
		$(INSTALL) -D -m 0644 man/$$m $(DESTDIR)$(mandir)/man$${m##*.}/$$m || exit 1; done
	$(INSTALL) -D -m 0644 contrib/pinbroker.conf $(DESTDIR)$(docdir)/pinbroker.conf
	$(INSTALL) -D -m 0644 README.md $(DESTDIR)$(docdir)/README.md
	$(INSTALL) -D -m 0644 contrib/pinbroker.bash $(DESTDIR)$(bashcompletiondir)/pinbroker
	$(INSTALL) -D -m 0644 contrib/tmpfiles.d/pinbroker.conf $(DESTDIR)$(tmpfilesdir)/pinbroker.conf
	$(INSTALL) -D -m 0644 contrib/systemd/pinbrokerd.socket \
		$(DESTDIR)$(systemdsystemunitdir)/pinbrokerd.socket
	$(INSTALL) -D -m 0644 contrib/systemd/pinbrokerd.service.in \
		$(DESTDIR)$(systemdsystemunitdir)/pinbrokerd.service
	sed -i 's|@sbindir@|$(sbindir)|' $(DESTDIR)$(systemdsystemunitdir)/pinbrokerd.service

clean:
	$(RM) -r build build-san build-clang build-sid build-sid-clang

.PHONY: all tests check unit-run check-headers check-layers check-docs check-install check-library \
	check-all fuzz bench bench-gate bench-mirror demo soak vm-test \
	vm-shell lint install clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)
