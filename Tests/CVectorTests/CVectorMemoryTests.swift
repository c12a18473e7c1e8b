import CVector
import TestSupport
import Testing
import Tile

@Suite struct CVectorMemoryTests {
    static let strides = [1, 2, 3, 7]

    private func load<Memory: BitwiseCopyable>(_ storage: Int, _ memory: [Memory], stride: Int, count: Int)
        -> [UInt32]
    {
        var d = [UInt32](repeating: 0, count: count)
        cv_get_load(Int32(storage))(&d, memory, Int64(stride), Int64(count))
        return d
    }

    private func store<Memory: BitwiseCopyable>(
        _ storage: Int, _ a: [UInt32], stride: Int, into memory: [Memory]
    ) -> [Memory] {
        var memory = memory
        memory.withUnsafeMutableBytes {
            cv_get_store(Int32(storage))($0.baseAddress, Int64(stride), a, Int64(a.count))
        }
        return memory
    }

    /// Loads, gathers and stores against formulas; elements between the strides stay as they were.
    private func check<Memory: FixedWidthInteger & BitwiseCopyable>(
        _ storage: Int, _ memory: [Memory], widened: (Memory) -> UInt32, narrowed: (UInt32) -> Memory,
        lanes: (inout SeededGenerator, Int) -> [UInt32]
    ) {
        var generator = SeededGenerator(seed: 10)
        for stride in Self.strides {
            for n in vectorSizes where n * stride <= memory.count {
                let loaded = load(storage, memory, stride: stride, count: n)
                let expected = (0..<n).map { widened(memory[$0 * stride]) }
                #expect(zip(loaded, expected).allSatisfy(same), "load \(storage), stride \(stride), n \(n)")

                let limit = Int32(memory.count / stride)
                let index = (0..<n).map { _ in Int32.random(in: 0..<limit, using: &generator) }
                var gathered = [UInt32](repeating: 0, count: n)
                cv_gather(Int32(storage), &gathered, memory, index, Int64(stride), Int64(n))
                let picked = index.map { widened(memory[Int($0) * stride]) }
                #expect(zip(gathered, picked).allSatisfy(same), "gather \(storage), stride \(stride), n \(n)")

                let a = lanes(&generator, n)
                let before = [Memory](repeating: 77, count: n * stride + 1)
                let after = store(storage, a, stride: stride, into: before)
                let wanted = before.indices.map { i in
                    i % stride == 0 && i / stride < n ? narrowed(a[i / stride]) : 77
                }
                #expect(firstDifference(after, wanted) == nil, "store \(storage), stride \(stride), n \(n)")
            }
        }
        #expect(load(storage, memory, stride: 0, count: 5) == Array(repeating: widened(memory[0]), count: 5))
    }

    @Test(arguments: vectorLevels)
    func words(level: Int) {
        var generator = SeededGenerator(seed: 20)
        let memory = generator.words(8000)
        atLevel(level) {
            for storage in [CV_STORE_F32, CV_STORE_32] {
                check(storage, memory, widened: { $0 }, narrowed: { $0 }, lanes: { $0.words($1) })
            }
        }
    }

    @Test(arguments: vectorLevels)
    func otherIntegers(level: Int) {
        var generator = SeededGenerator(seed: 21)
        let memory = generator.words(8000)
        atLevel(level) {
            check(
                CV_STORE_I64, memory.map { Int64($0) &* 0x1_2345_6789 },
                widened: { UInt32(truncatingIfNeeded: $0) }, narrowed: { Int64(Int32(bitPattern: $0)) },
                lanes: { $0.words($1) })
            check(
                CV_STORE_U8, memory.map { UInt8(truncatingIfNeeded: $0) },
                widened: { UInt32($0) }, narrowed: { UInt8(truncatingIfNeeded: $0) },
                lanes: { $0.words($1) })
        }
    }

    /// Any float that is not NaN; which NaN comes out is tested apart.
    private func numbers(_ generator: inout SeededGenerator, _ count: Int) -> [UInt32] {
        let ordinary = generator.floats(count, in: -70000...70000)
        return generator.words(count).enumerated().map { i, word in
            i % 3 == 0 || Float(bitPattern: word).isNaN ? ordinary[i].bitPattern : word
        }
    }

    @Test(arguments: vectorLevels)
    func sixteenBitFloats(level: Int) {
        let all = (0...UInt16.max).map { $0 }
        atLevel(level) {
            check(
                CV_STORE_BF16, all, widened: { UInt32($0) << 16 },
                narrowed: { UInt16(nearestBF16(Float(bitPattern: $0)).bitPattern >> 16) }, lanes: numbers)
            check(
                CV_STORE_F16, all, widened: { Float(Float16(bitPattern: $0)).bitPattern },
                narrowed: { Float16(Float(bitPattern: $0)).bitPattern }, lanes: numbers)
        }
    }

    /// All floats of 8 bits, the ties between them and the floats next to the ties, and some of any size.
    @Test(arguments: vectorLevels)
    func eightBitFloats(level: Int) {
        for (storage, form, most) in [
            (CV_STORE_E4M3, Float8.e4m3, UInt8(0x7E)), (CV_STORE_E5M2, .e5m2, 0x7B),
        ] {
            let ties = (0..<most).flatMap { byte -> [Float] in
                let tie = (form.value(byte) + form.value(byte + 1)) / 2
                return [tie.nextDown, tie, tie.nextUp].flatMap { [$0, -$0] }
            }
            var generator = SeededGenerator(seed: 22)
            let floats =
                ties + generator.floats(4000, in: -600...600) + [.infinity, -.infinity, 0x1p-140, 0, -0.0]
            let a = floats.map(\.bitPattern) + numbers(&generator, 4000)
            let all = (UInt8.min...UInt8.max).map { $0 }
            atLevel(level) {
                let stored = store(storage, a, stride: 1, into: [UInt8](repeating: 0, count: a.count))
                #expect(firstDifference(stored, a.map { form.bits(Float(bitPattern: $0)) }) == nil)
                check(
                    storage, all, widened: { form.value($0).bitPattern },
                    narrowed: { form.bits(Float(bitPattern: $0)) }, lanes: numbers)
                let nan = store(
                    storage, [0x7FC0_0000, 0xFF80_0001], stride: 1, into: [UInt8](repeating: 0, count: 2))
                #expect(nan.allSatisfy { form.value($0).isNaN })
            }
        }
    }

    /// All 16-bit values, the ties between them, and the floats next to the ties.
    @Test(arguments: vectorLevels)
    func tiesGoToEven(level: Int) {
        atLevel(level) {
            let around = (0...UInt16.max).flatMap { half -> [UInt32] in
                let base = UInt32(half) << 16
                return [base, base | 0x7fff, base | 0x8000, base | 0x8001]
            }.filter { !Float(bitPattern: $0).isNaN }
            let zeros = [UInt16](repeating: 0, count: around.count)
            let bf16 = store(CV_STORE_BF16, around, stride: 1, into: zeros)
            let nearest = around.map { UInt16(nearestBF16(Float(bitPattern: $0)).bitPattern >> 16) }
            #expect(firstDifference(bf16, nearest) == nil)

            let halves = (0..<UInt16(0x7c00)).flatMap { half -> [UInt32] in
                let base = Float(Float16(bitPattern: half))
                let next = half == 0x7bff ? 65536 : Float(Float16(bitPattern: half + 1))
                let tie = base + (next - base) / 2
                return [base, tie.nextDown, tie, tie.nextUp, -tie].map(\.bitPattern)
            }
            let f16 = store(
                CV_STORE_F16, halves, stride: 1, into: [UInt16](repeating: 0, count: halves.count))
            let expected = halves.map { Float16(Float(bitPattern: $0)).bitPattern }
            #expect(firstDifference(f16, expected) == nil)
        }
    }

    /// Payload bits that are lost entirely must not leave an infinity.
    @Test(arguments: vectorLevels)
    func notANumberStays(level: Int) {
        let patterns = (0..<23).flatMap { [0x7f80_0000 | UInt32(1) << $0, 0xff80_0000 | UInt32(1) << $0] }
        let a = patterns + [0x7fff_ffff, 0xffff_ffff]
        let zeros = [UInt16](repeating: 0, count: a.count)
        atLevel(level) {
            let bf16 = store(CV_STORE_BF16, a, stride: 1, into: zeros)
            #expect(bf16.allSatisfy { Float(bitPattern: UInt32($0) << 16).isNaN })
            let f16 = store(CV_STORE_F16, a, stride: 1, into: zeros)
            #expect(f16.allSatisfy { Float16(bitPattern: $0).isNaN })
        }
    }
}
