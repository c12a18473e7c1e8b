import Tile
import TileGPU

// Loads widen and stores narrow. Elements of 16 bits travel in pairs.
extension Printer {
    mutating func writeLoad(_ space: Space, _ dtype: DType, _ offset: Int, _ instruction: Instruction) {
        let place = address(instruction.sources[0], space, offset)
        let results = instruction.results.map(name)
        switch dtype {
        case .f32, .i32, .u32, .i64:
            let type = dtype == .f32 ? "f32" : dtype == .i64 ? "b64" : "b32"
            zero(results, type, instruction)
            emit(
                "ld.\(word(space, instruction)).\(vector(results.count))\(type) \(tuple(results)), \(place)\(policy(instruction));",
                guardedBy: instruction.guardedBy)
        case .u8, .e4m3, .e5m2:
            let (word, policy) = (word(space, instruction), policy(instruction))
            writeByteLoad(dtype, to: results, instruction) { "ld.\(word).\($0) \($1), \(place)\(policy);" }
        case .bf16, .f16:
            if results.count == 1 {
                let half = temporary("b16")
                zero([half], "b16", instruction)
                emit(
                    "ld.\(word(space, instruction)).b16 \(half), \(place)\(policy(instruction));",
                    guardedBy: instruction.guardedBy)
                writeWidening(half, dtype, to: results[0])
                return
            }
            let pairs = (0..<(results.count / 2)).map { _ in temporary("b32") }
            zero(pairs, "b32", instruction)
            emit(
                "ld.\(word(space, instruction)).\(vector(pairs.count))b32 \(tuple(pairs)), \(place)\(policy(instruction));",
                guardedBy: instruction.guardedBy)
            for (i, pair) in pairs.enumerated() {
                writeWideningPair(pair, dtype, to: results[2 * i], results[2 * i + 1])
            }
        }
    }

    mutating func writeStore(_ space: Space, _ dtype: DType, _ offset: Int, _ instruction: Instruction) {
        let place = address(instruction.sources[0], space, offset)
        let values = instruction.sources.dropFirst()
        let guarding = instruction.guardedBy
        switch dtype {
        case .f32, .i32, .u32, .i64:
            let type = dtype == .f32 ? "f32" : dtype == .i64 ? "b64" : "b32"
            let number: NumberType = dtype == .f32 ? .f32 : dtype == .i64 ? .s64 : .s32
            let texts = values.map { text($0, number) }
            emit(
                "st.\(word(space, instruction)).\(vector(texts.count))\(type) \(place), \(tuple(texts))\(policy(instruction));",
                guardedBy: guarding)
        case .u8, .e4m3, .e5m2:
            let (type, operand) = packedBytes(Array(values), dtype)
            emit(
                "st.\(word(space, instruction)).\(type) \(place), \(operand)\(policy(instruction));",
                guardedBy: guarding)
        case .bf16, .f16:
            let floats = values.map { text($0, .f32) }
            if floats.count == 1 {
                let half = narrowed(floats[0], dtype)
                emit(
                    "st.\(word(space, instruction)).b16 \(place), \(half)\(policy(instruction));",
                    guardedBy: guarding)
                return
            }
            let pairs = stride(from: 0, to: floats.count, by: 2).map {
                narrowedPair(floats[$0], floats[$0 + 1], dtype)
            }
            emit(
                "st.\(word(space, instruction)).\(vector(pairs.count))b32 \(place), \(tuple(pairs))\(policy(instruction));",
                guardedBy: guarding)
        }
    }

    mutating func writeCopy(_ from: Int, _ to: Int, _ instruction: Instruction) {
        let target = address(instruction.sources[0], .shared, to)
        let source = address(instruction.sources[1], .global, from)
        emit("cp.async.cg.shared.global \(target), \(source), 16;", guardedBy: instruction.guardedBy)
    }

    /// The space's word, and that a policy follows.
    private func word(_ space: Space, _ instruction: Instruction) -> String {
        space.rawValue + (policy(instruction).isEmpty ? "" : ".L2::cache_hint")
    }

    /// What stands behind an access whose memory caches should keep or drop.
    private func policy(_ instruction: Instruction) -> String {
        guard target.hasCachePolicies else { return "" }
        return switch instruction.reuse {
        case .unknown: ""
        case .again: ", %keep"
        case .never: ", %drop"
        }
    }

    private func vector(_ count: Int) -> String { count == 1 ? "" : "v\(count)." }

    private func tuple(_ words: [String]) -> String {
        words.count == 1 ? words[0] : "{\(words.joined(separator: ", "))}"
    }

    private mutating func address(_ source: Source, _ space: Space, _ offset: Int) -> String {
        guard space == .shared || space == .local else { return "[\(text(source, .s64))+\(offset)]" }
        let sum = temporary("b64")
        emit("add.s64 \(sum), %\(space.rawValue)_base, \(text(source, .s64));")
        return "[\(sum)+\(offset)]"
    }

    /// A guarded load leaves zeros where it does not run.
    mutating func zero(_ registers: [String], _ type: String, _ instruction: Instruction) {
        guard instruction.guardedBy != nil else { return }
        for register in registers {
            emit("mov.\(type) \(register), \(type == "f32" ? "0f00000000" : "0");")
        }
    }

    // MARK: 16-bit floats

    mutating func writeWidening(_ half: String, _ dtype: DType, to result: String) {
        if dtype == .f16 {
            emit("cvt.f32.f16 \(result), \(half);")
            return
        }
        let zero = temporary("b16")
        emit("mov.b16 \(zero), 0;")
        emit("mov.b32 \(result), {\(zero), \(half)};")
    }

    private mutating func writeWideningPair(_ pair: String, _ dtype: DType, to low: String, _ high: String) {
        if dtype == .f16 {
            let (a, b) = (temporary("b16"), temporary("b16"))
            emit("mov.b32 {\(a), \(b)}, \(pair);")
            emit("cvt.f32.f16 \(low), \(a);")
            emit("cvt.f32.f16 \(high), \(b);")
            return
        }
        emit("shl.b32 \(low), \(pair), 16;")
        emit("and.b32 \(high), \(pair), 0xFFFF0000;")
    }

    mutating func writeWiden(_ dtype: DType, _ isHigh: Bool, _ isAgain: Bool, _ instruction: Instruction) {
        let (pair, result) = (text(instruction.sources[0], .u32), name(instruction.results[0]))
        if dtype == .f16 {
            let (a, b) = (temporary("b16"), temporary("b16"))
            emit("mov.b32 {\(a), \(b)}, \(pair);")
            emit("cvt.f32.f16 \(result), \(isHigh ? b : a);")
        } else if isAgain {
            emit("prmt.b32 \(result), \(pair), 0, \(isHigh ? "0x3244" : "0x1044");")
        } else {
            emit(isHigh ? "and.b32 \(result), \(pair), 0xFFFF0000;" : "shl.b32 \(result), \(pair), 16;")
        }
    }

    mutating func narrowed(_ float: String, _ dtype: DType) -> String {
        let half = temporary("b16")
        if dtype == .f16 {
            emit("cvt.rn.f16.f32 \(half), \(float);")
        } else if target.hasAmpere {
            emit("cvt.rn.bf16.f32 \(half), \(float);")
        } else {
            let word = roundedBits(float)
            let dropped = temporary("b16")
            emit("mov.b32 {\(dropped), \(half)}, \(word);")
        }
        return half
    }

    mutating func narrowedPair(_ low: String, _ high: String, _ dtype: DType) -> String {
        let pair = temporary("b32")
        let type = dtype == .f16 ? "f16" : "bf16"
        if target.hasAmpere {
            emit("cvt.rn.\(type)x2.f32 \(pair), \(high), \(low);")
        } else {
            let (a, b) = (narrowed(low, dtype), narrowed(high, dtype))
            emit("mov.b32 \(pair), {\(a), \(b)};")
        }
        return pair
    }

    /// A float's bits rounded to nearest, ties to even, at bit 16; a NaN stays one.
    private mutating func roundedBits(_ float: String) -> String {
        let names = (0..<5).map { _ in temporary("b32") }
        let isNaN = temporary("pred")
        emit("mov.b32 \(names[0]), \(float);")
        emit("bfe.u32 \(names[1]), \(names[0]), 16, 1;")
        emit("add.u32 \(names[2]), \(names[1]), \(names[0]);")
        emit("add.u32 \(names[2]), \(names[2]), 32767;")
        emit("or.b32 \(names[3]), \(names[0]), 4194304;")
        emit("setp.nan.f32 \(isNaN), \(float), \(float);")
        emit("selp.b32 \(names[4]), \(names[3]), \(names[2]), \(isNaN);")
        return names[4]
    }
}
