#!/bin/bash
# SPDX-License-Identifier: MIT
# What a context understands beside IOMMUFD's own commands: VFIO's old ones and the test command pin
# or map past the gate; the system calls of 32-bit programs.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start

attack numbers
for command in vfio_get_api_version vfio_check_extension vfio_set_iommu vfio_iommu_get_info \
	vfio_iommu_map_dma vfio_iommu_unmap_dma test; do
	verdict "$command" $((!$(said $command ENOTTY))) "$(fact $command)"
done
for command in unknown_7f unknown_9f unknown_ff fionread; do
	is "$command" "$(fact $command)" ENOTTY
done
is "what the kernel does for any file" "$(fact fioclex)" ok
attack compat --count $((slots_max + 100))
verdict "mappings by VFIO_IOMMU_MAP_DMA" $(($(fact through) > 0)) "$(fact through), then $(fact error)"

run_options=(--device "$device")
attack narrow
is "MAP of a 32-bit program" "$(fact map)" ENOTTY
verdict "BIND of a 32-bit program" "$(said bind ok)" \
	"$(fact bind), ATTACH $(fact attach)"
gate_stop
