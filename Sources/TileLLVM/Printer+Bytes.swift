import Tile
import TileGPU

// Floats of 8 bits, in integer arithmetic: what rounds them in hardware differs from target to target.
extension Printer {
    /// A float's 8 bits, in the low byte of a word.
    mutating func narrowedByte(_ x: String, _ dtype: DType) -> String {
        let form = Float8Form(dtype), bits = value("bitcast float \(x) to i32")
        let magnitude = value("and i32 \(bits), 2147483647")
        let odd = value("and i32 \(value("lshr i32 \(magnitude), \(form.cut)")), 1")
        let up = value("add i32 \(value("add i32 \(magnitude), \(odd)")), \((1 << (form.cut - 1)) - 1)")
        let normal = value("lshr i32 \(value("sub i32 \(up), \(form.shift)")), \(form.cut)")
        let absolute = value("bitcast i32 \(magnitude) to float")
        let sum = value("fadd float \(absolute), \(Self.float(form.adds))")
        let subnormal = value("and i32 \(value("bitcast float \(sum) to i32")), 255")
        func chosen(_ condition: String, _ limit: Int, _ then: String, _ otherwise: String) -> String {
            let holds = value("icmp \(condition) i32 \(magnitude), \(limit)")
            return value("select i1 \(holds), i32 \(then), i32 \(otherwise)")
        }
        let finite = chosen("ult", form.smallest, subnormal, normal)
        let bounded = chosen("ugt", form.largest, "\(form.most)", finite)
        let byte = chosen("ugt", 0x7F80_0000, "127", bounded)
        let sign = value("and i32 \(value("lshr i32 \(bits), 24")), 128")
        return value("or i32 \(byte), \(sign)")
    }

    /// The float of 8 bits in a word's low byte. Exponents grow by a product, exact for subnormal numbers too.
    mutating func widenedByte(_ word: String, _ dtype: DType) -> String {
        let form = Float8Form(dtype), magnitude = value("and i32 \(word), 127")
        let narrow = value("bitcast i32 \(value("shl i32 \(magnitude), \(form.cut)")) to float")
        var bits = value("bitcast float \(value("fmul float \(narrow), \(Self.float(form.growth))")) to i32")
        if let infinity = form.infinity {
            let isInfinite = value("icmp eq i32 \(magnitude), \(infinity)")
            bits = value("select i1 \(isInfinite), i32 2139095040, i32 \(bits)")
        }
        let isNaN = value("icmp ugt i32 \(magnitude), \(form.infinity ?? 0x7E)")
        bits = value("select i1 \(isNaN), i32 2143289344, i32 \(bits)")
        let sign = value("shl i32 \(value("and i32 \(word), 128")), 24")
        return value("bitcast i32 \(value("or i32 \(bits), \(sign)")) to float")
    }
}
