import Tile
import TileGPU

// Products of matrices on sm_90a: the copy engine (TMA), barriers in shared memory (mbarrier) and the tensor cores'
// asynchronous instructions (wgmma).
extension Printer {
    mutating func write(_ step: ProductStep, _ instruction: Instruction) {
        let (sources, guarding) = (instruction.sources, instruction.guardedBy)
        switch step {
        case .gridBlocks: emit("mov.u32 \(name(instruction.results[0])), %nctaid.x;")
        case .initBarrier(let arrivals):
            emit(
                "mbarrier.init.shared::cta.b64 [\(place(sources[0]))], \(arrivals);", guardedBy: guarding)
        case .publishBarriers:
            emit("fence.mbarrier_init.release.cluster;", guardedBy: guarding)
        case .expect(let bytes):
            emit("mbarrier.arrive.expect_tx.shared::cta.b64 _, [\(place(sources[0]))], \(bytes);")
        case .arrive: writeArrive(instruction)
        case .await: writeAwait(sources)
        case .copyTile(let map, let blocks): writeCopyTile(map, blocks, sources)
        case .describe(let form): writeDescription(form, instruction)
        case .fence: emit("wgmma.fence.sync.aligned;")
        case .multiply(let columns, let dtype, let columnsOfA, let columnsOfB):
            writeMultiply(columns, dtype, "\(columnsOfA ? 1 : 0), \(columnsOfB ? 1 : 0)", instruction)
        case .commit: emit("wgmma.commit_group.sync.aligned;")
        case .wait(let pending): emit("wgmma.wait_group.sync.aligned \(pending);")
        }
    }

    /// A register that holds an address in shared memory.
    private mutating func place(_ source: Source) -> String {
        let sum = temporary("b64")
        emit("add.s64 \(sum), %shared_base, \(text(source, .s64));")
        return sum
    }

    private mutating func writeArrive(_ instruction: Instruction) {
        let barrier = place(instruction.sources[0])
        if function.clusterBlocks == 1 {
            return emit(
                "mbarrier.arrive.shared::cta.b64 _, [\(barrier)];", guardedBy: instruction.guardedBy)
        }
        let peer = temporary("b64")
        let rank = text(instruction.sources[1], .s32)
        emit("mapa.shared::cluster.u64 \(peer), \(barrier), \(rank);", guardedBy: instruction.guardedBy)
        emit(
            "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [\(peer)];",
            guardedBy: instruction.guardedBy)
    }

    private mutating func writeAwait(_ sources: [Source]) {
        let (barrier, isDone, label) = (place(sources[0]), temporary("pred"), nextLabel("wait"))
        lines.append("\(label):")
        emit(
            "mbarrier.try_wait.parity.shared::cta.b64 \(isDone), [\(barrier)], \(text(sources[1], .u32));")
        emit("@!\(isDone) bra \(label);")
    }

    private mutating func writeCopyTile(_ map: Int, _ blocks: Int, _ sources: [Source]) {
        let (target, barrier) = (place(sources[0]), place(sources[1]))
        let (parameter, address) = (temporary("b64"), temporary("b64"))
        emit("mov.b64 \(parameter), arguments;")
        emit("cvta.param.u64 \(address), \(parameter);")
        let (x, y) = (text(sources[2], .s32), text(sources[3], .s32))
        let multicast = blocks > 1 ? ".multicast::cluster" : ""
        let mask = blocks > 1 ? ", \((1 << blocks) - 1)" : ""
        let start = temporary("b64")
        emit("add.s64 \(start), \(address), \(mapOffsets[map]);")
        if blocks > 1 {
            let members = temporary("b16")
            emit("mov.b16 \(members)\(mask);")
            return emit(
                "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes\(multicast) "
                    + "[\(target)], [\(start), {\(x), \(y)}], [\(barrier)], \(members);")
        }
        emit(
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                + "[\(target)], [\(start), {\(x), \(y)}], [\(barrier)];")
    }

    private mutating func writeDescription(_ form: TileForm, _ instruction: Instruction) {
        let (address, units) = (place(instruction.sources[0]), temporary("b64"))
        emit("and.b64 \(units), \(address), 0x3FFFF;")
        emit("shr.u64 \(units), \(units), 4;")
        emit(
            "or.b64 \(name(instruction.results[0])), \(units), 0x\(String(form.bits, radix: 16, uppercase: true));"
        )
    }

    private mutating func writeMultiply(
        _ columns: Int, _ dtype: DType, _ transposes: String, _ instruction: Instruction
    ) {
        let sums = instruction.results.map(name).joined(separator: ", ")
        let (a, b) = (text(instruction.sources[0], .s64), text(instruction.sources[1], .s64))
        let adds: String
        if case .register(let given)? = instruction.sources.dropFirst(2).first {
            adds = name(given)
        } else {
            adds = temporary("pred")
            emit("setp.eq.s32 \(adds), 0, 0;")
        }
        emit(
            "wgmma.mma_async.sync.aligned.m64n\(columns)k16.f32.\(dtype.rawValue).\(dtype.rawValue) "
                + "{\(sums)}, \(a), \(b), \(adds), 1, 1, \(transposes);")
    }

    // MARK: Roles

    mutating func write(_ roles: [ThreadRole]) {
        let thread = temporary("b32")
        emit("mov.u32 \(thread), %tid.x;")
        let end = nextLabel("roles_end")
        for role in roles {
            let (isOther, other) = (temporary("pred"), nextLabel("role"))
            emit("setp.ge.u32 \(isOther), \(thread), \(role.threads.upperBound);")
            emit("@\(isOther) bra \(other);")
            if let registers = role.registers {
                emit("setmaxnreg.\(role.takesRegisters ? "inc" : "dec").sync.aligned.u32 \(registers);")
            }
            if role.isOneThread {
                let isOne = temporary("pred")
                emit("setp.eq.u32 \(isOne), \(thread), \(role.threads.lowerBound);")
                emit("@!\(isOne) bra \(end);")
            }
            write(role.body)
            emit("bra \(end);")
            lines.append("\(other):")
        }
        lines.append("\(end):")
        // The threads of a warp of which one copied go on together.
        emit("bar.warp.sync 0xFFFFFFFF;")
    }
}
