import Tile
import TileGPU

// Elements of 8 bits: whole numbers, and floats that widen when loaded and are narrowed when stored. They travel in words of
// four.
extension Printer {
    mutating func writeByteLoad(
        _ dtype: DType, to results: [String], _ instruction: Instruction,
        _ load: (_ type: String, _ target: String) -> String
    ) {
        let count = results.count
        let words = (0..<max(1, count / 4)).map { _ in temporary("b32") }
        zero(words, "b32", instruction)
        let vector = words.count == 1 ? "" : "v\(words.count)."
        let type = count == 1 ? "u8" : count == 2 ? "u16" : "\(vector)b32"
        let target = words.count == 1 ? words[0] : "{\(words.joined(separator: ", "))}"
        emit(load(type, target), guardedBy: instruction.guardedBy)
        if dtype == .u8 {
            for (i, result) in results.enumerated() {
                emit("bfe.u32 \(result), \(words[i / 4]), \(i % 4 * 8), 8;")
            }
        } else {
            writeWideningBytes(words, dtype, to: results)
        }
    }

    /// The bytes of one store, as its operand and its type.
    mutating func packedBytes(_ values: [Source], _ dtype: DType) -> (type: String, operand: String) {
        let words = stride(from: 0, to: values.count, by: 4).map { first in
            packedWord(Array(values[first..<min(first + 4, values.count)]), dtype)
        }
        let type = values.count == 1 ? "u8" : values.count == 2 ? "u16" : "b32"
        return words.count == 1
            ? (type, words[0]) : ("v\(words.count).b32", "{\(words.joined(separator: ", "))}")
    }

    private mutating func packedWord(_ values: [Source], _ dtype: DType) -> String {
        if dtype.isFloat8 && target.hasFloat8 && values.count > 1 {
            let halves = stride(from: 0, to: values.count, by: 2).map { i in
                let half = temporary("b16")
                let (low, high) = (text(values[i], .f32), text(values[i + 1], .f32))
                emit("cvt.rn.satfinite.\(dtype.rawValue)x2.f32 \(half), \(high), \(low);")
                return half
            }
            let word = temporary("b32")
            if halves.count == 1 {
                emit("cvt.u32.u16 \(word), \(halves[0]);")
            } else {
                emit("mov.b32 \(word), {\(halves[0]), \(halves[1])};")
            }
            return word
        }
        let bytes = values.map { dtype == .u8 ? text($0, .s32) : narrowedByte(text($0, .f32), dtype) }
        var word = bytes[0]
        for (i, byte) in bytes.enumerated().dropFirst() {
            let next = temporary("b32")
            emit("bfi.b32 \(next), \(byte), \(word), \(8 * i), 8;")
            word = next
        }
        return word
    }

    // MARK: 8-bit floats

    private mutating func writeWideningBytes(_ words: [String], _ dtype: DType, to results: [String]) {
        guard target.hasFloat8 else {
            for (i, result) in results.enumerated() {
                let byte = temporary("b32")
                emit("bfe.u32 \(byte), \(words[i / 4]), \(i % 4 * 8), 8;")
                writeWideningByte(byte, dtype, to: result)
            }
            return
        }
        for i in stride(from: 0, to: results.count, by: 2) {
            let (low, high, pair) = (temporary("b16"), temporary("b16"), temporary("b32"))
            emit("mov.b32 {\(low), \(high)}, \(words[i / 4]);")
            emit("cvt.rn.f16x2.\(dtype.rawValue)x2 \(pair), \(i % 4 == 0 ? low : high);")
            let (a, b) = (temporary("b16"), temporary("b16"))
            emit("mov.b32 {\(a), \(b)}, \(pair);")
            emit("cvt.f32.f16 \(results[i]), \(a);")
            if i + 1 < results.count { emit("cvt.f32.f16 \(results[i + 1]), \(b);") }
        }
    }

    /// A float's 8 bits in the low byte of a word.
    private mutating func narrowedByte(_ float: String, _ dtype: DType) -> String {
        if target.hasFloat8 {
            let (half, word) = (temporary("b16"), temporary("b32"))
            emit("cvt.rn.satfinite.\(dtype.rawValue)x2.f32 \(half), 0f00000000, \(float);")
            emit("cvt.u32.u16 \(word), \(half);")
            return word
        }
        let form = Float8Form(dtype)
        let (u, magnitude, odd, normal) = (
            temporary("b32"), temporary("b32"), temporary("b32"), temporary("b32")
        )
        emit("mov.b32 \(u), \(float);")
        emit("and.b32 \(magnitude), \(u), 0x7FFFFFFF;")
        emit("bfe.u32 \(odd), \(magnitude), \(form.cut), 1;")
        emit("add.u32 \(normal), \(magnitude), \(odd);")
        emit("add.u32 \(normal), \(normal), \((1 << (form.cut - 1)) - 1);")
        emit("sub.u32 \(normal), \(normal), \(form.shift);")
        emit("shr.u32 \(normal), \(normal), \(form.cut);")
        let (absolute, subnormal) = (temporary("f32"), temporary("b32"))
        emit("mov.b32 \(absolute), \(magnitude);")
        emit("add.rn.f32 \(absolute), \(absolute), \(text(.bits(UInt64(form.adds.bitPattern)), .f32));")
        emit("mov.b32 \(subnormal), \(absolute);")
        emit("and.b32 \(subnormal), \(subnormal), \(0xFF);")
        let chosen = temporary("b32"), condition = temporary("pred")
        emit("setp.lt.u32 \(condition), \(magnitude), \(form.smallest);")
        emit("selp.b32 \(chosen), \(subnormal), \(normal), \(condition);")
        emit("setp.gt.u32 \(condition), \(magnitude), \(form.largest);")
        emit("selp.b32 \(chosen), \(form.most), \(chosen), \(condition);")
        emit("setp.gt.u32 \(condition), \(magnitude), 0x7F800000;")
        emit("selp.b32 \(chosen), 127, \(chosen), \(condition);")
        emit("bfe.u32 \(u), \(u), 31, 1;")
        emit("bfi.b32 \(chosen), \(u), \(chosen), 7, 1;")
        return chosen
    }

    private mutating func writeWideningByte(_ byte: String, _ dtype: DType, to result: String) {
        let form = Float8Form(dtype)
        let (magnitude, shifted, sign) = (temporary("b32"), temporary("b32"), temporary("b32"))
        emit("and.b32 \(magnitude), \(byte), 127;")
        emit("shl.b32 \(shifted), \(magnitude), \(form.cut);")
        let float = temporary("f32")
        // Exponents grow by a product, exact for subnormal numbers too.
        emit("mov.b32 \(float), \(shifted);")
        emit("mul.rn.f32 \(float), \(float), \(text(.bits(UInt64(form.growth.bitPattern)), .f32));")
        emit("mov.b32 \(shifted), \(float);")
        let condition = temporary("pred")
        if let infinity = form.infinity {
            emit("setp.eq.u32 \(condition), \(magnitude), \(infinity);")
            emit("selp.b32 \(shifted), 0x7F800000, \(shifted), \(condition);")
        }
        emit("setp.gt.u32 \(condition), \(magnitude), \(form.infinity ?? 0x7E);")
        emit("selp.b32 \(shifted), 0x7FC00000, \(shifted), \(condition);")
        emit("shr.u32 \(sign), \(byte), 7;")
        emit("bfi.b32 \(shifted), \(sign), \(shifted), 31, 1;")
        emit("mov.b32 \(result), \(shifted);")
    }
}
