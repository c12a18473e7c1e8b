import Tile

/// The formulas at `AdamW`; one program a block of a tensor.
struct AdamWStep: TileKernel {
    let parameter: DType
    let gradient: DType
    /// Of the mean; u8 where states are codes of 8 bits, `AdamWCode`.
    let m: DType
    let v: DType
    let hasMaster: Bool
    let rounding: AdamW.Rounding
    /// Whether the factor of gradients is an array of one number.
    let scalesGradient: Bool
    /// Whether two elements share four random words, which halves their cost: where blocks are full.
    let isPaired: Bool
    /// Whether each block says which tensor's it is, as where tensors lie in one array; else the first says it for all.
    let isBundle: Bool
    /// Whether the step's numbers come in arrays, for calls that are recorded, and not with the launch.
    let readsNumbers: Bool

    private var isQuantised: Bool { m == .u8 }
    var needsWords: Bool { isQuantised || rounding == .stochastic }
    /// Elements of a program; with 8-bit states, of a scale.
    var block: Int { Self.block(m, isBundle: isBundle) }

    static func block(_ states: DType, isBundle: Bool) -> Int {
        states == .u8 || isBundle ? AdamW.block : 4096
    }

    func body(_ p: Program) {
        let arrays = Arrays(self, p)
        let states: any AdamWStates = isQuantised ? AdamWCodes(self, p) : AdamWFloats(self, p)
        let numbers = AdamWNumbers(p, inArray: readsNumbers)
        let factor = scalesGradient ? p.input("factor", .f32, rank: 1)[0] : nil
        let random = needsWords ? AdamWRandom(p, inArrays: readsNumbers, isBundle: isBundle) : nil

        let start = p.index * block, half = block / 2
        let axes =
            isPaired
            ? [p.range(half) + start, p.range(half) + (start + half)]
            : [p.range(from: start, capacity: block, limit: arrays.gradient.size(0))]
        let words = random?.words(axes[0], start: start)
        let updates = axes.map { i in
            var g = arrays.gradient[i]
            if let factor { g = g * factor }
            return numbers.update(g, states.load(i), arrays.weight[i])
        }
        states.store(updates.map { ($0.m, $0.v) }, axes, words)
        for (number, (axis, update)) in zip(axes, updates).enumerated() {
            arrays.master?[axis] = update.w
            arrays.parameter[axis] = rounded(update.w, words?[number])
        }
    }

    private func rounded(_ w: Tile<Float>, _ words: AdamWWords?) -> Tile<Float> {
        guard rounding == .stochastic, let words else { return w }
        // A random number below a bf16's last bit is added and the rest cut off: up with the share of it that w has.
        let cut = float(bits: (w.bits + words.ofWeight) & 0xFFFF_0000)
        return select(w == w, cut, w)
    }

    /// What every step reads and writes.
    private struct Arrays {
        let parameter: View<Float>
        let gradient: View<Float>
        let master: View<Float>?
        var weight: View<Float> { master ?? parameter }

        init(_ kernel: AdamWStep, _ p: Program) {
            parameter =
                kernel.hasMaster
                ? p.output("parameter", kernel.parameter, rank: 1)
                : p.update("parameter", kernel.parameter, rank: 1)
            gradient = p.input("gradient", kernel.gradient, rank: 1)
            master = kernel.hasMaster ? p.update("master", .f32, rank: 1) : nil
        }
    }
}

/// The numbers of a step, which all tensors with the same options share.
private struct AdamWNumbers {
    let decay, rate1, beta2, rate2, size, root, eps: Tile<Float>

    init(_ p: Program, inArray: Bool) {
        let names = ["decay", "1 - beta1", "beta2", "1 - beta2", "step size", "root of correction", "eps"]
        let array = inArray ? p.input("numbers", .f32, rank: 1) : nil
        let values = names.enumerated().map { i, name in array.map { $0[i] } ?? p.scalar(name) }
        (decay, rate1, beta2, rate2) = (values[0], values[1], values[2], values[3])
        (size, root, eps) = (values[4], values[5], values[6])
    }

    func update(_ g: Tile<Float>, _ state: AdamWStates.Lanes, _ w: Tile<Float>) -> AdamWUpdate {
        let m = state.m + rate1 * (g - state.m)
        let v = beta2 * state.v + rate2 * g * g
        return AdamWUpdate(m: m, v: v, w: w * decay - size * (m / (sqrt(v) / root + eps)))
    }
}

private struct AdamWUpdate {
    let m, v, w: Tile<Float>
}

// MARK: - States

private protocol AdamWStates {
    typealias Lanes = (m: Tile<Float>, v: Tile<Float>)
    func load(_ axis: Axis) -> Lanes
    func store(_ states: [Lanes], _ axes: [Axis], _ words: [AdamWWords]?)
}

private struct AdamWFloats: AdamWStates {
    let m, v: View<Float>

    init(_ kernel: AdamWStep, _ p: Program) {
        (m, v) = (p.update("m", kernel.m, rank: 1), p.update("v", kernel.v, rank: 1))
    }

    func load(_ axis: Axis) -> Lanes { (m[axis], v[axis]) }

    func store(_ states: [Lanes], _ axes: [Axis], _ words: [AdamWWords]?) {
        for (axis, state) in zip(axes, states) { (m[axis], v[axis]) = state }
    }
}

/// States in 8 bits, with a scale for each block: its largest magnitude.
private struct AdamWCodes: AdamWStates {
    private let m, v: View<Int32>
    private let mScale, vScale: View<Float>
    private let block: Tile<Int>

    init(_ kernel: AdamWStep, _ p: Program) {
        m = p.update("m", .u8, rank: 1, as: Int32.self)
        v = p.update("v", .u8, rank: 1, as: Int32.self)
        (mScale, vScale) = (p.update("m scale", .f32, rank: 1), p.update("v scale", .f32, rank: 1))
        block = p.index
    }

    func load(_ axis: Axis) -> Lanes {
        let m = m[axis].uint32
        let magnitude = AdamWCode.mean.value(m & 0x7F) * mScale[block]
        let isNegative = (m & 0x80) != 0
        return (
            select(isNegative, -magnitude, magnitude),
            AdamWCode.meanSquare.value(v[axis].uint32) * vScale[block]
        )
    }

    func store(_ states: [Lanes], _ axes: [Axis], _ words: [AdamWWords]?) {
        guard let words else { preconditionFailure("8-bit states are rounded at random") }
        let largestM = largest(states.map { max(abs($0.m)) }), largestV = largest(states.map { max($0.v) })
        let (unitM, unitV) = (AdamWCode.mean.unit(of: largestM), AdamWCode.meanSquare.unit(of: largestV))
        // Zeros that are known where codes are, so that what is compared with them is not kept from before.
        let (zeroM, zeroV) = (unitM * 0, unitV * 0)
        for (number, (axis, state)) in zip(axes, states).enumerated() {
            let magnitude = AdamWCode.mean.code(abs(state.m) * unitM, words[number].ofMean)
            m[axis] = select(state.m < zeroM, magnitude | 0x80, magnitude).int32
            let code = AdamWCode.meanSquare.code(state.v * unitV, words[number].ofMeanSquare)
            // A mean square that is not 0 stays above 0: the mean is divided by its root.
            v[axis] = select(state.v > zeroV, maximum(code, 1), code).int32
        }
        (mScale[block], vScale[block]) = (largestM, largestV)
    }

    private func largest(_ tiles: [Tile<Float>]) -> Tile<Float> {
        tiles.dropFirst().reduce(tiles[0]) { maximum($0, $1) }
    }
}

/// A magnitude from 0 to 1 in a few bits, which are a float's exponent and first three bits of its fraction. The largest
/// code is 1.
///
/// A product by a power of two brings exponents to where they count from 0, so that the code is the upper bits of a float:
/// below the least exponent too, where floats and codes are subnormal alike.
private struct AdamWCode {
    /// 4 bits of exponent.
    static let mean = AdamWCode(exponentBits: 4)
    /// 5 bits of exponent; there is no sign.
    static let meanSquare = AdamWCode(exponentBits: 5)

    private let largestCode: UInt32
    /// What the largest code is as a float.
    private let top: Float

    private init(exponentBits: Int) {
        largestCode = 8 << UInt32(exponentBits) - 1
        top = Float(bitPattern: largestCode << 20)
    }

    /// What numbers are multiplied by before they are rounded; 0 where all are 0.
    func unit(of largest: Tile<Float>) -> Tile<Float> { select(largest == 0, largest, top / largest) }

    /// Rounded up with the probability that leaves the mean as it is. Words are below 2^20.
    func code(_ x: Tile<Float>, _ words: Tile<UInt32>) -> Tile<UInt32> {
        minimum((x.bits + words) >> 20, largestCode)
    }

    /// From 0 to 1.
    func value(_ code: Tile<UInt32>) -> Tile<Float> { float(bits: code << 20) * (1 / top) }
}

// MARK: - Random words

/// The random bits of a tile's elements.
private struct AdamWWords {
    let first, second: Tile<UInt32>

    /// 16 bits, of those that the others leave.
    var ofWeight: Tile<UInt32> { ((first & 0xFFF) << 4) | (second & 0xF) }
    /// 20 bits.
    var ofMean: Tile<UInt32> { first >> 12 }
    /// 20 bits.
    var ofMeanSquare: Tile<UInt32> { second >> 12 }
}

/// Words from Philox4x32-10 with the seed as key and (place, tensor, step) as counter.
private struct AdamWRandom {
    private let key: (Tile<UInt32>, Tile<UInt32>)
    private let step, tensor: Tile<UInt32>
    /// How far the tensor's elements are from their places: a shard's first, less where it starts in a bundle.
    private let offset: Tile<Int>

    init(_ p: Program, inArrays: Bool, isBundle: Bool) {
        if inArrays {
            let counters = p.input("counters", .i32, rank: 1, as: Int32.self)
            let tensors = p.input("tensors", .i64, rank: 2, as: Int.self)
            let row = isBundle ? p.index : p.index * 0
            key = (counters[0].uint32, counters[1].uint32)
            (step, tensor, offset) = (counters[2].uint32, tensors[row, 0].uint32, tensors[row, 1])
        } else {
            key = (p.scalar("seed", as: UInt32.self), p.scalar("upper seed", as: UInt32.self))
            (step, tensor) = (p.scalar("step", as: UInt32.self), p.scalar("tensor", as: UInt32.self))
            offset = p.scalar("offset", as: Int.self)
        }
    }

    /// Two words for each element of two tiles, or of one.
    func words(_ axis: Axis, start: Tile<Int>) -> [AdamWWords] {
        let place = axis.index.uint32 + offset.uint32
        let upper = ((offset + start) / (1 << 32)).uint32
        let words = philox(counter: (place, upper, tensor, step), key: key)
        return [AdamWWords(first: words.0, second: words.1), AdamWWords(first: words.2, second: words.3)]
    }
}
