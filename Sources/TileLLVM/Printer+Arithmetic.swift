import Tile
import TileGPU

extension Printer {
    /// The instruction of each operation and type, where one does it.
    private static let words: [Arithmetic: [NumberType: String]] = [
        .add: [.f32: "fadd", .s32: "add", .u32: "add", .s64: "add"],
        .subtract: [.f32: "fsub", .s32: "sub", .u32: "sub", .s64: "sub"],
        .multiply: [.f32: "fmul", .s32: "mul", .u32: "mul", .s64: "mul"],
        .divide: [.f32: "fdiv"],
        .and: [.u32: "and", .s32: "and", .s64: "and", .predicate: "and"],
        .or: [.u32: "or", .s32: "or", .s64: "or", .predicate: "or"],
        .xor: [.u32: "xor", .s32: "xor", .s64: "xor", .predicate: "xor"],
    ]

    /// LLVM's functions of floats.
    private static let functions: [Arithmetic: String] = [
        .abs: "llvm.fabs.f32", .floor: "llvm.floor.f32", .multiplyAdd: "llvm.fma.f32",
        .copySign: "llvm.copysign.f32", .reciprocal: "llvm.amdgcn.rcp.f32",
    ]

    /// - Parameter sources: the operands as the program has them, of which some are constants.
    /// - Throws: `LoweringError` for what no kernel has.
    mutating func compute(
        _ arithmetic: Arithmetic, _ type: NumberType, _ operands: [String], _ sources: [Source]
    ) throws -> String {
        if let word = Self.words[arithmetic]?[type] {
            return value("\(word) \(Self.type(type)) \(operands[0]), \(operands[1])")
        }
        if type == .f32 { return try computeFloat(arithmetic, operands) }
        let llvm = Self.type(type)
        switch arithmetic {
        case .negate: return value("sub \(llvm) 0, \(operands[0])")
        case .not: return value("xor \(llvm) \(operands[0]), \(type == .predicate ? "true" : "-1")")
        case .minimum, .maximum:
            let sign = type == .u32 ? "u" : "s", word = arithmetic == .minimum ? "min" : "max"
            return call("llvm.\(sign)\(word).\(llvm)", llvm, operands.map { (llvm, $0) })
        case .multiplyHigh:
            let wide = operands.map { value("zext i32 \($0) to i64") }
            let product = value("mul i64 \(wide[0]), \(wide[1])")
            return value("trunc i64 \(value("lshr i64 \(product), 32")) to i32")
        case .divide, .remainder: return divide(arithmetic, type, operands, by: sources[1])
        case .shiftLeft, .shiftRight: return shift(arithmetic, type, operands, by: sources[1])
        default: throw missing("\(arithmetic) of \(type)")
        }
    }

    /// A quotient or remainder by zero is any number, but no fault of the program.
    private mutating func divide(
        _ arithmetic: Arithmetic, _ type: NumberType, _ operands: [String], by divisor: Source
    ) -> String {
        let sign = type == .u32 ? "u" : "s", word = arithmetic == .divide ? "div" : "rem"
        let llvm = Self.type(type)
        var safe = operands[1]
        if case .register = divisor {
            let isZero = value("icmp eq \(llvm) \(safe), 0")
            safe = value("select i1 \(isZero), \(llvm) 1, \(llvm) \(safe)")
        }
        return value("\(sign)\(word) \(llvm) \(operands[0]), \(safe)")
    }

    /// By 32 bits and more nothing is left but the sign.
    private mutating func shift(
        _ arithmetic: Arithmetic, _ type: NumberType, _ operands: [String], by bits: Source
    ) -> String {
        let word = arithmetic == .shiftLeft ? "shl" : type == .s32 ? "ashr" : "lshr"
        if case .bits(let bits) = bits, bits < 32 {
            return value("\(word) i32 \(operands[0]), \(operands[1])")
        }
        let isAbove = value("icmp ugt i32 \(operands[1]), 31")
        let within = value("select i1 \(isAbove), i32 31, i32 \(operands[1])")
        let shifted = value("\(word) i32 \(operands[0]), \(within)")
        return word == "ashr" ? shifted : value("select i1 \(isAbove), i32 0, i32 \(shifted)")
    }

    // MARK: Floats

    private mutating func computeFloat(_ arithmetic: Arithmetic, _ x: [String]) throws -> String {
        if let name = Self.functions[arithmetic] { return call(name, "float", x.map { ("float", $0) }) }
        switch arithmetic {
        case .negate: return value("fneg float \(x[0])")
        case .minimum, .maximum: return extreme(arithmetic == .minimum ? "min" : "max", x[0], x[1])
        case .exp2: return call(target.hasOwnExponentials ? "llvm.amdgcn.exp2.f32" : "llvm.exp2.f32", x[0])
        case .log2: return log2(x[0])
        case .reciprocalSquareRoot: return reciprocalSquareRoot(x[0])
        case .squareRoot: return squareRoot(x[0])
        default: throw missing("\(arithmetic) of floats")
        }
    }

    /// A NaN stays one.
    private mutating func extreme(_ word: String, _ a: String, _ b: String) -> String {
        if target.keepsNaN { return call("llvm.\(word)imum.f32", a, b) }
        let found = call("llvm.\(word)num.f32", a, b)
        let isNaN = value("fcmp uno float \(a), \(b)")
        let sum = value("fadd float \(a), \(b)")
        return value("select i1 \(isNaN), float \(sum), float \(found)")
    }

    /// The instruction takes what is below the normal numbers for zero, so that is scaled first.
    private mutating func log2(_ x: String) -> String {
        let (isSmall, scaled) = scaledUp(x, below: 0x1p-126, by: 0x1p32)
        let found = call(target.hasOwnExponentials ? "llvm.amdgcn.log.f32" : "llvm.log2.f32", scaled)
        let less = value("fadd float \(found), \(Self.float(-32))")
        return value("select i1 \(isSmall), float \(less), float \(found)")
    }

    private mutating func reciprocalSquareRoot(_ x: String) -> String {
        let (isSmall, scaled) = scaledUp(x, below: 0x1p-126, by: 0x1p32)
        let found = call("llvm.amdgcn.rsq.f32", scaled)
        let more = value("fmul float \(found), \(Self.float(0x1p16))")
        return value("select i1 \(isSmall), float \(more), float \(found)")
    }

    /// Correctly rounded: the instruction's result, or the number next to it, whichever the remainders tell. Later
    /// releases of LLVM do the same for `llvm.sqrt`; earlier ones stop at the instruction.
    private mutating func squareRoot(_ x: String) -> String {
        let (isSmall, scaled) = scaledUp(x, below: 0x1p-96, by: 0x1p32)
        let near = call("llvm.amdgcn.sqrt.f32", scaled)
        let bits = value("bitcast float \(near) to i32")
        func neighbour(_ step: Int) -> (root: String, remainder: String) {
            let root = value("bitcast i32 \(value("add i32 \(bits), \(step)")) to float")
            return (root, call("llvm.fma.f32", value("fneg float \(root)"), near, scaled))
        }
        let (below, above) = (neighbour(-1), neighbour(1))
        let isBelow = value("fcmp ole float \(below.remainder), \(Self.float(0))")
        let lower = value("select i1 \(isBelow), float \(below.root), float \(near)")
        let isAbove = value("fcmp ogt float \(above.remainder), \(Self.float(0))")
        let found = value("select i1 \(isAbove), float \(above.root), float \(lower)")
        let less = value("fmul float \(found), \(Self.float(0x1p-16))")
        let root = value("select i1 \(isSmall), float \(less), float \(found)")
        // Of zeros and infinity, whose neighbours mean nothing, the root is the number itself.
        let isZero = value("fcmp oeq float \(scaled), \(Self.float(0))")
        let isInfinite = value("fcmp oeq float \(scaled), \(Self.float(.infinity))")
        let isItself = value("or i1 \(isZero), \(isInfinite)")
        return value("select i1 \(isItself), float \(scaled), float \(root)")
    }

    private mutating func scaledUp(
        _ x: String, below limit: Float, by factor: Float
    ) -> (isSmall: String, scaled: String) {
        let isSmall = value("fcmp olt float \(x), \(Self.float(limit))")
        let scaled = value("fmul float \(x), \(Self.float(factor))")
        return (isSmall, value("select i1 \(isSmall), float \(scaled), float \(x)"))
    }

    // MARK: Conversions

    mutating func convert(_ x: String, _ from: NumberType, _ to: NumberType) -> String {
        let (source, result) = (Self.type(from), Self.type(to))
        switch (from, to) {
        case (.f32, .s64): return call("llvm.fptosi.sat.i64.f32", "i64", [("float", x)])
        case (.f32, _): return call("llvm.fptosi.sat.i32.f32", "i32", [("float", x)])
        case (.u32, .f32): return value("uitofp i32 \(x) to float")
        case (_, .f32): return value("sitofp \(source) \(x) to float")
        case (.s64, .s32), (.s64, .u32): return value("trunc i64 \(x) to i32")
        case (.u32, .s64): return value("zext i32 \(x) to i64")
        case (.s32, .s64): return value("sext i32 \(x) to i64")
        default: return value("bitcast \(source) \(x) to \(result)")
        }
    }

    /// One of the two 16-bit floats of a word, as a float.
    mutating func widened(_ word: String, _ dtype: DType, isHigh: Bool) -> String {
        guard dtype == .f16 else {
            let bits = value(isHigh ? "and i32 \(word), -65536" : "shl i32 \(word), 16")
            return value("bitcast i32 \(bits) to float")
        }
        let low = isHigh ? value("lshr i32 \(word), 16") : word
        let half = value("bitcast i16 \(value("trunc i32 \(low) to i16")) to half")
        return value("fpext half \(half) to float")
    }

    /// A float rounded to 16 bits, in the low half of a word whose high half is zero.
    mutating func narrowed(_ x: String, _ dtype: DType) -> String {
        if dtype == .bf16 && !target.roundsToBF16 { return value("lshr i32 \(roundedBits(x)), 16") }
        let type = dtype == .f16 ? "half" : "bfloat"
        let half = value("fptrunc float \(x) to \(type)")
        return value("zext i16 \(value("bitcast \(type) \(half) to i16")) to i32")
    }

    mutating func narrowedPair(_ low: String, _ high: String, _ dtype: DType) -> String {
        if dtype == .bf16 && !target.roundsToBF16 {
            let first = value("lshr i32 \(roundedBits(low)), 16")
            let second = value("and i32 \(roundedBits(high)), -65536")
            return value("or i32 \(first), \(second)")
        }
        let type = dtype == .f16 ? "half" : "bfloat"
        let halves = [low, high].map { value("fptrunc float \($0) to \(type)") }
        let first = value("insertelement <2 x \(type)> undef, \(type) \(halves[0]), i32 0")
        let both = value("insertelement <2 x \(type)> \(first), \(type) \(halves[1]), i32 1")
        return value("bitcast <2 x \(type)> \(both) to i32")
    }

    /// A float's bits rounded to nearest, ties to even, at bit 16; a NaN stays one.
    private mutating func roundedBits(_ x: String) -> String {
        let bits = value("bitcast float \(x) to i32")
        let last = value("and i32 \(value("lshr i32 \(bits), 16")), 1")
        let rounded = value("add i32 \(value("add i32 \(last), \(bits)")), 32767")
        let quiet = value("or i32 \(bits), 4194304")
        let isNaN = value("fcmp uno float \(x), \(x)")
        return value("select i1 \(isNaN), i32 \(quiet), i32 \(rounded)")
    }

    static func float(_ value: Float) -> String {
        constant(UInt64(value.bitPattern), .f32)
    }
}
