"""Which engines are timed with which instruction sets."""

from __future__ import annotations

from bench.models.rows import (
    INSTRUCTION_SETS,
    NATIVE,
    OPENVINO,
    STOCK,
    SYSTEMS,
    Row,
    Spec,
    default_rows,
    rows,
)
from build.kernels import ARCHITECTURES
from manifest import Target

CPU2VEC, STOCK_INT8, OPENVINO_INT8, ORT_FP32, TORCH = SYSTEMS
AMX_MACHINE = ("amx", "avx512vnni", "avx2", "scalar")


def specs_of(all_rows: list[Row], isa: str) -> dict[str, Spec | None]:
    return {row.name: row.spec for row in all_rows if row.isa == isa}


class TestRows:
    def test_the_best_instruction_set_runs_with_nothing_forced(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE, Target.AMD64, amx=True), "amx")
        assert found == {system.name: Spec(system) for system in (CPU2VEC, STOCK_INT8, OPENVINO_INT8)}

    def test_beside_vnni_all_are_kept_from_amx_where_there_is_one(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE, Target.AMD64, amx=True), "avx512vnni")
        assert found == {
            NATIVE: Spec(CPU2VEC, isa="avx512vnni", deny_amx=True),
            STOCK: Spec(STOCK_INT8, deny_amx=True),
            OPENVINO: Spec(OPENVINO_INT8, deny_amx=True),
        }
        without = rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=False)
        assert not any(row.spec.deny_amx for row in without if row.spec)

    def test_a_cpu_with_amx_whose_kernel_does_not_allow_it_to_ours_allows_it_to_none(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=True), "avx512vnni")
        assert found[STOCK] == Spec(STOCK_INT8, deny_amx=True)

    def test_avx2_is_forced_in_ours_and_openvino_and_cannot_be_in_onnxruntime(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=False), "avx2")
        assert found == {
            NATIVE: Spec(CPU2VEC, isa="avx2"),
            f"{STOCK}, not limited": Spec(STOCK_INT8),
            OPENVINO: Spec(OPENVINO_INT8, environment=(("ONEDNN_MAX_CPU_ISA", "AVX2"),)),
        }

    def test_where_avx2_is_all_that_there_is_nothing_is_limited(self):
        found = specs_of(rows(SYSTEMS, ("avx2", "scalar"), Target.AMD64, amx=False), "avx2")
        assert found == {system.name: Spec(system) for system in (CPU2VEC, STOCK_INT8, OPENVINO_INT8)}

    def test_what_the_machine_lacks_has_a_row_without_figures(self):
        found = rows(SYSTEMS, ("neon_dot", "scalar"), Target.ARM64, amx=False)
        assert found[0] == Row("neon_i8mm", "–", None)
        assert list(specs_of(found, "neon_dot")) == [NATIVE, STOCK, OPENVINO]
        assert not {"amx", "avx2"} & {row.isa for row in found}

    def test_systems_in_fp32_run_once(self):
        found = rows(SYSTEMS, AMX_MACHINE, Target.AMD64, amx=True)
        assert [row.spec for row in found if row.spec and row.spec.system in (ORT_FP32, TORCH)] == [
            Spec(ORT_FP32),
            Spec(TORCH),
        ]

    def test_defaults_are_the_first_of_each(self):
        found = rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=False)
        assert [row.spec for row in default_rows(found)] == [Spec(system) for system in SYSTEMS]

    def test_every_instruction_set_of_the_kernels_is_listed(self):
        compiled = {(target, isa) for target, architecture in ARCHITECTURES.items() for isa in architecture.isas}
        assert {(isa.target, isa.name) for isa in INSTRUCTION_SETS} == compiled
