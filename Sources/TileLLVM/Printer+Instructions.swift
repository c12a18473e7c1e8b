import Tile
import TileGPU

extension Printer {
    /// Writes an instruction, or accesses under one guard.
    mutating func write(_ group: [Instruction]) throws {
        let instruction = group[0]
        switch instruction.kind {
        case .load: writeLoads(group)
        case .store: writeStores(group)
        case .move: writeMove(instruction)
        case .parameter(let offset): writeParameter(offset, instruction)
        case .threadIndex: define(instruction.results[0], call("llvm.amdgcn.workitem.id.x", "i32", []))
        case .blockIndex: define(instruction.results[0], call("llvm.amdgcn.workgroup.id.x", "i32", []))
        case .arithmetic(let arithmetic, let type):
            let operands = instruction.sources.map { text($0, type) }
            define(instruction.results[0], try compute(arithmetic, type, operands, instruction.sources))
        case .compare(let comparison, let type): writeCompare(comparison, type, instruction)
        case .select: writeSelect(instruction)
        case .convert(let from, let to):
            define(instruction.results[0], convert(text(instruction.sources[0], from), from, to))
        case .widen(let dtype, let isHigh, _):
            define(
                instruction.results[0],
                widened(text(instruction.sources[0], .u32), dtype, isHigh: isHigh))
        case .round(let dtype):
            let rounded = narrowed(text(instruction.sources[0], .f32), dtype)
            define(instruction.results[0], widened(rounded, dtype, isHigh: false))
        case .narrowPair(let dtype):
            let (low, high) = (text(instruction.sources[0], .f32), text(instruction.sources[1], .f32))
            define(instruction.results[0], narrowedPair(low, high, dtype))
        // There is nothing to prefetch into, and what is copied is there.
        case .prefetch, .copyCommit, .copyWait: break
        case .copy(let from, let to): writeCopy(from, to, instruction)
        case .shuffle(let distance, _): writeShuffle(distance, instruction)
        case .barrier: writeBarrier()
        case .clusterArrive, .clusterWait, .peerAddress: throw missing("clusters of blocks")
        case .product: throw missing("products within kernels")
        case .fail: writeFail(instruction)
        }
    }

    private mutating func writeMove(_ instruction: Instruction) {
        let (result, source) = (instruction.results[0], instruction.sources[0])
        let moved = bits(source, as: function.type(result))
        guard let guarding = instruction.guardedBy else { return define(result, moved) }
        let type = Self.type(function.type(result))
        let before = bits(.register(result), as: function.type(result))
        let isOn = text(.register(guarding), .predicate)
        define(result, value("select i1 \(isOn), \(type) \(moved), \(type) \(before)"))
    }

    /// A source's bits as a register of another type of the same size.
    private mutating func bits(_ source: Source, as type: RegisterType) -> String {
        let number: NumberType =
            switch type {
            case .f32: .f32
            case .b32: .s32
            case .b64: .s64
            case .predicate: .predicate
            }
        guard case .register(let register) = source, function.type(register) != type else {
            return text(source, number)
        }
        let own = Self.type(function.type(register))
        return value("bitcast \(own) \(text(source, number)) to \(Self.type(type))")
    }

    private mutating func writeParameter(_ offset: Int, _ instruction: Instruction) {
        let type = Self.type(function.type(instruction.results[0]))
        let bytes = function.type(instruction.results[0]) == .b64 ? 8 : 4
        let place = value("getelementptr i8, ptr addrspace(4) %arguments, i64 \(offset)")
        define(
            instruction.results[0], value("load \(type), ptr addrspace(4) \(place), align \(bytes)"))
    }

    private mutating func writeCompare(
        _ comparison: Comparison, _ type: NumberType, _ instruction: Instruction
    ) {
        let (a, b) = (text(instruction.sources[0], type), text(instruction.sources[1], type))
        let word = Self.comparisons[comparison] ?? ""
        let isEquality = comparison == .equal || comparison == .notEqual
        let kind: String
        switch type {
        // A NaN differs from everything.
        case .f32: kind = "fcmp " + (comparison == .notEqual ? "u" : "o") + word
        case .u32, .predicate: kind = "icmp " + (isEquality ? "" : "u") + word
        case .s32, .s64: kind = "icmp " + (isEquality ? "" : "s") + word
        }
        define(instruction.results[0], value("\(kind) \(Self.type(type)) \(a), \(b)"))
    }

    private static let comparisons: [Comparison: String] = [
        .equal: "eq", .notEqual: "ne", .less: "lt", .lessOrEqual: "le", .greater: "gt",
        .greaterOrEqual: "ge",
    ]

    private mutating func writeSelect(_ instruction: Instruction) {
        let register = function.type(instruction.results[0])
        let type = Self.type(register)
        let predicate = text(instruction.sources[0], .predicate)
        let (yes, no) = (
            bits(instruction.sources[1], as: register), bits(instruction.sources[2], as: register)
        )
        define(instruction.results[0], value("select i1 \(predicate), \(type) \(yes), \(type) \(no)"))
    }

    // MARK: Between threads

    private mutating func writeShuffle(_ distance: Int, _ instruction: Instruction) {
        let source = instruction.sources[0], result = instruction.results[0]
        let isFloat = function.type(result) == .f32
        let own = bits(source, as: .b32)
        let other = exchanged(own, distance)
        define(result, isFloat ? value("bitcast i32 \(other) to float") : other)
    }

    /// The word of the thread whose number in the wave differs in some bits: a move within a row of 16 where there is one, a
    /// swizzle within 32, and beyond by its number.
    private mutating func exchanged(_ word: String, _ distance: Int) -> String {
        if let move = target.rowMoves[distance] {
            return call(
                "llvm.amdgcn.update.dpp.i32", "i32",
                [
                    ("i32", word), ("i32", word), ("i32", "\(move)"), ("i32", "15"), ("i32", "15"),
                    ("i1", "true"),
                ])
        }
        if distance < 32 {
            return call(
                "llvm.amdgcn.ds.swizzle", "i32", [("i32", word), ("i32", "\(distance << 10 | 0x1F)")])
        }
        let low = call("llvm.amdgcn.mbcnt.lo", "i32", [("i32", "-1"), ("i32", "0")])
        let lane = call("llvm.amdgcn.mbcnt.hi", "i32", [("i32", "-1"), ("i32", low)])
        let place = value("shl i32 \(value("xor i32 \(lane), \(distance)")), 2")
        return call("llvm.amdgcn.ds.bpermute", "i32", [("i32", place), ("i32", word)])
    }

    private mutating func writeBarrier() {
        emit("fence syncscope(\"workgroup\") release, \(Metadata.sharedOnly)")
        _ = call("llvm.amdgcn.s.barrier", "void", [])
        emit("fence syncscope(\"workgroup\") acquire, \(Metadata.sharedOnly)")
    }

    private mutating func writeFail(_ instruction: Instruction) {
        guard case .bits(let message) = instruction.sources[1] else { return }
        let record = text(instruction.sources[0], .s64)
        let words = [
            (0, "\(message + 1)"), (8, text(instruction.sources[2], .s64)),
            (16, text(instruction.sources[3], .s64)),
        ]
        _ = guarded(by: instruction.guardedBy) { printer in
            for (offset, word) in words {
                let place = printer.pointer(record, .global, offset)
                printer.emit("store i64 \(word), \(place), align 8")
            }
            return []
        }
    }
}
