import Tile
import TileGPU

extension Printer {
    mutating func write(_ instruction: Instruction) {
        switch instruction.kind {
        case .move: writeMove(instruction)
        case .parameter(let offset):
            let type = function.type(instruction.results[0])
            emit("ld.param.\(type.rawValue) \(result(instruction)), [arguments+\(offset)];")
        case .threadIndex: emit("mov.u32 \(result(instruction)), %tid.x;")
        case .blockIndex: emit("mov.u32 \(result(instruction)), %ctaid.x;")
        case .arithmetic(let arithmetic, let type): writeArithmetic(arithmetic, type, instruction)
        case .compare(let comparison, let type):
            let word = Self.comparisons[comparison] ?? ""
            // A NaN differs from everything.
            let unordered = type == .f32 && comparison == .notEqual ? "u" : ""
            emit(
                "setp.\(word)\(unordered).\(type.rawValue) \(result(instruction)), \(list(instruction, type));"
            )
        case .select: writeSelect(instruction)
        case .convert(let from, let to): writeConvert(from, to, instruction)
        case .widen(let dtype, let isHigh, let isAgain): writeWiden(dtype, isHigh, isAgain, instruction)
        case .round(let dtype): writeRound(dtype, instruction)
        case .narrowPair(let dtype):
            let pair = narrowedPair(
                text(instruction.sources[0], .f32), text(instruction.sources[1], .f32), dtype)
            emit("mov.b32 \(result(instruction)), \(pair);")
        case .load(let space, let dtype, let offset): writeLoad(space, dtype, offset, instruction)
        case .store(let space, let dtype, let offset): writeStore(space, dtype, offset, instruction)
        case .prefetch(let offset):
            emit(
                "prefetch.global.L2 [\(text(instruction.sources[0], .s64))+\(offset)];",
                guardedBy: instruction.guardedBy)
        case .copy(let from, let to): writeCopy(from, to, instruction)
        case .copyCommit: emit("cp.async.commit_group;")
        case .copyWait(let pending): emit("cp.async.wait_group \(pending);")
        case .shuffle(let distance, let width): writeShuffle(distance, width, instruction)
        case .barrier: emit("bar.sync 0;")
        case .clusterArrive: emit("barrier.cluster.arrive.release.aligned;")
        case .clusterWait: emit("barrier.cluster.wait.acquire.aligned;")
        case .peerAddress: writePeerAddress(instruction)
        case .product(let step): write(step, instruction)
        case .fail: writeFail(instruction)
        }
    }

    private static let comparisons: [Comparison: String] = [
        .equal: "eq", .notEqual: "ne", .less: "lt", .lessOrEqual: "le", .greater: "gt",
        .greaterOrEqual: "ge",
    ]

    private func result(_ instruction: Instruction) -> String { name(instruction.results[0]) }

    private func list(_ instruction: Instruction, _ type: NumberType) -> String {
        instruction.sources.map { text($0, type) }.joined(separator: ", ")
    }

    private func number(_ register: Register) -> NumberType {
        switch function.type(register) {
        case .f32: .f32
        case .b32: .s32
        case .b64: .s64
        case .predicate: .predicate
        }
    }

    private mutating func writeMove(_ instruction: Instruction) {
        let type = function.type(instruction.results[0])
        let source = text(instruction.sources[0], number(instruction.results[0]))
        if type == .predicate, case .bits(let bits) = instruction.sources[0] {
            emit("setp.\(bits == 0 ? "ne" : "eq").s32 \(result(instruction)), 0, 0;")
        } else {
            // Between floats and words the bits move as they are.
            let isRegister = if case .register = instruction.sources[0] { true } else { false }
            let word = type == .predicate ? "pred" : type == .f32 && isRegister ? "b32" : type.rawValue
            emit("mov.\(word) \(result(instruction)), \(source);", guardedBy: instruction.guardedBy)
        }
    }

    private mutating func writeSelect(_ instruction: Instruction) {
        let type = number(instruction.results[0])
        let values = instruction.sources.dropFirst().map { text($0, type) }.joined(separator: ", ")
        let predicate = text(instruction.sources[0], .predicate)
        emit("selp.\(type.rawValue) \(result(instruction)), \(values), \(predicate);")
    }

    // MARK: Arithmetic

    /// The instruction of each operation and type, where one does it.
    private static let words: [Arithmetic: [NumberType: String]] = [
        .add: [.f32: "add.rn.f32", .s32: "add.s32", .u32: "add.u32", .s64: "add.s64"],
        .subtract: [.f32: "sub.rn.f32", .s32: "sub.s32", .u32: "sub.u32", .s64: "sub.s64"],
        .multiply: [.f32: "mul.rn.f32", .s32: "mul.lo.s32", .u32: "mul.lo.u32", .s64: "mul.lo.s64"],
        .multiplyHigh: [.u32: "mul.hi.u32"],
        .divide: [.f32: "div.rn.f32", .u32: "div.u32", .s64: "div.s64"],
        .remainder: [.s64: "rem.s64"],
        .minimum: [.s32: "min.s32", .u32: "min.u32", .s64: "min.s64"],
        .maximum: [.s32: "max.s32", .u32: "max.u32", .s64: "max.s64"],
        .and: [.u32: "and.b32", .s32: "and.b32", .predicate: "and.pred"],
        .or: [.u32: "or.b32", .s32: "or.b32", .predicate: "or.pred"],
        .xor: [.u32: "xor.b32", .s32: "xor.b32", .predicate: "xor.pred"],
        .shiftRight: [.u32: "shr.u32", .s32: "shr.s32"],
        .shiftLeft: [.u32: "shl.b32", .s32: "shl.b32"],
        .negate: [.f32: "neg.f32", .s32: "neg.s32"],
        .abs: [.f32: "abs.f32"],
        .not: [.u32: "not.b32", .s32: "not.b32", .predicate: "not.pred"],
        .squareRoot: [.f32: "sqrt.rn.f32"],
        .floor: [.f32: "cvt.rmi.f32.f32"],
        .reciprocalSquareRoot: [.f32: "rsqrt.approx.f32"],
        .reciprocal: [.f32: "rcp.approx.ftz.f32"],
        .exp2: [.f32: "ex2.approx.ftz.f32"],
        .log2: [.f32: "lg2.approx.f32"],
        .multiplyAdd: [.f32: "fma.rn.f32"],
    ]

    private mutating func writeArithmetic(
        _ arithmetic: Arithmetic, _ type: NumberType, _ instruction: Instruction
    ) {
        let d = result(instruction)
        if let word = Self.words[arithmetic]?[type] {
            emit("\(word) \(d), \(list(instruction, type));")
            return
        }
        switch arithmetic {
        case .copySign:
            let (magnitude, sign) = (text(instruction.sources[0], .f32), text(instruction.sources[1], .f32))
            emit("copysign.f32 \(d), \(sign), \(magnitude);")
        case .minimum, .maximum:
            let word = arithmetic == .minimum ? "min" : "max"
            if target.hasAmpere {
                emit("\(word).NaN.f32 \(d), \(list(instruction, type));")
            } else {
                writeExtremeKeepingNaN(word, instruction)
            }
        default: preconditionFailure("no instruction for \(arithmetic) of \(type)")
        }
    }

    /// Older targets drop a NaN; their sum keeps it.
    private mutating func writeExtremeKeepingNaN(_ word: String, _ instruction: Instruction) {
        let (sum, isNaN, extreme) = (temporary("f32"), temporary("pred"), temporary("f32"))
        emit("\(word).f32 \(extreme), \(list(instruction, .f32));")
        emit("add.rn.f32 \(sum), \(list(instruction, .f32));")
        let (a, b) = (text(instruction.sources[0], .f32), text(instruction.sources[1], .f32))
        emit("setp.nan.f32 \(isNaN), \(a), \(b);")
        emit("selp.f32 \(result(instruction)), \(sum), \(extreme), \(isNaN);")
    }

    private mutating func writeConvert(_ from: NumberType, _ to: NumberType, _ instruction: Instruction) {
        let source = text(instruction.sources[0], from)
        let rounding: String
        switch (from, to) {
        case (.f32, .s32), (.f32, .u32), (.f32, .s64): rounding = "rzi."
        case (_, .f32): rounding = "rn."
        default: rounding = ""
        }
        let target = to == .u32 && from == .f32 ? "s32" : to.rawValue
        emit("cvt.\(rounding)\(target).\(from.rawValue) \(result(instruction)), \(source);")
    }

    private mutating func writeRound(_ dtype: DType, _ instruction: Instruction) {
        let source = text(instruction.sources[0], .f32)
        if dtype == .bf16 && target.hasAmpere {
            // The upper of a pair whose lower is 0: a float's bits.
            let pair = temporary("b32")
            emit("cvt.rn.bf16x2.f32 \(pair), \(source), 0f00000000;")
            return emit("mov.b32 \(result(instruction)), \(pair);")
        }
        let half = narrowed(source, dtype)
        writeWidening(half, dtype, to: result(instruction))
    }

    private mutating func writeShuffle(_ distance: Int, _ width: Int, _ instruction: Instruction) {
        let source = instruction.sources[0]
        // The upper bits keep an exchange within groups of `width`.
        let clamp = (32 - width) << 8 | 0x1F
        // Programs of less than a warp may take different branches within one.
        let members = function.schedule.threads >= 32 ? "0xFFFFFFFF" : groupMask(width)
        if case .register(let register) = source, function.type(register) == .f32 {
            let (before, after) = (temporary("b32"), temporary("b32"))
            emit("mov.b32 \(before), \(name(register));")
            emit("shfl.sync.bfly.b32 \(after), \(before), \(distance), \(clamp), \(members);")
            emit("mov.b32 \(result(instruction)), \(after);")
        } else {
            emit(
                "shfl.sync.bfly.b32 \(result(instruction)), \(list(instruction, .s32)), \(distance), \(clamp), \(members);"
            )
        }
    }

    /// The threads of this thread's group, as a bit mask: groups of one warp may take different branches.
    private mutating func groupMask(_ width: Int) -> String {
        let (lane, first, mask) = (temporary("b32"), temporary("b32"), temporary("b32"))
        emit("mov.u32 \(lane), %laneid;")
        emit("and.b32 \(first), \(lane), \(~(width - 1) & 31);")
        emit("shl.b32 \(mask), \((1 << width) - 1), \(first);")
        return mask
    }

    private mutating func writePeerAddress(_ instruction: Instruction) {
        let own = temporary("b64")
        let (place, rank) = (text(instruction.sources[0], .s64), text(instruction.sources[1], .s32))
        emit("add.s64 \(own), %shared_base, \(place);")
        emit(
            "mapa.shared::cluster.u64 \(result(instruction)), \(own), \(rank);",
            guardedBy: instruction.guardedBy)
    }

    private mutating func writeFail(_ instruction: Instruction) {
        let record = text(instruction.sources[0], .s64)
        let values = [
            (8, text(instruction.sources[2], .s64)), (16, text(instruction.sources[3], .s64)),
        ]
        for (offset, value) in values {
            emit("st.global.b64 [\(record)+\(offset)], \(value);", guardedBy: instruction.guardedBy)
        }
        guard case .bits(let message) = instruction.sources[1] else { return }
        let number = temporary("b64")
        emit("mov.b64 \(number), \(message + 1);")
        emit("st.global.b64 [\(record)], \(number);", guardedBy: instruction.guardedBy)
    }
}
