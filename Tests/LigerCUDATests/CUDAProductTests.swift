import FakeCUDA
import LigerRuntime
import Platform
import TestSupport
import Testing
import Tile

/// The fake library multiplies column by column as cuBLASLt documents, so a wrong size, stride or
/// transposition shows.
@Suite(.onFakeGPU) struct CUDAProductTests {
    struct Shape: CustomTestStringConvertible, Sendable {
        let rows, columns, inner: Int
        var testDescription: String { "\(rows)x\(columns)x\(inner)" }
    }

    /// Odd sizes, each different from the others, single rows and columns, and an empty inner size.
    static let shapes = [
        Shape(rows: 1, columns: 1, inner: 1), Shape(rows: 2, columns: 3, inner: 0),
        Shape(rows: 5, columns: 1, inner: 7), Shape(rows: 1, columns: 6, inner: 4),
        Shape(rows: 7, columns: 5, inner: 3),
    ]
    static let types: [(factors: DType, result: DType)] = [(.f32, .f32), (.bf16, .bf16), (.bf16, .f32)]

    @Test(arguments: shapes, [false, true]) func matchTheProcessor(shape: Shape, transposed: Bool) throws {
        let device = try makeFakeDevice()
        var random = SeededGenerator(seed: 31)
        for type in Self.types {
            for transposeB in [false, true] {
                for accumulate in [false, true] {
                    let a = try matrix(shape.rows, shape.inner, type.factors, transposed, &random)
                    let b = try matrix(shape.inner, shape.columns, type.factors, transposeB, &random)
                    let c = try matrix(shape.rows, shape.columns, type.result, false, &random)
                    let (x, y, z) = (try moved(a, device), try moved(b, device), try moved(c, device))
                    for (a, b, c) in [(a, b, c), (x, y, z)] {
                        _ = try MatMul.apply(
                            a, b, transposeA: transposed, transposeB: transposeB, into: c, alpha: -0.75,
                            accumulate: accumulate)
                    }
                    // Small whole numbers: every sum is exact, also in bf16 up to its one rounding.
                    #expect(z.doubles == c.doubles, "\(type) \(transposed) \(transposeB) \(accumulate)")
                }
            }
        }
    }

    /// Products of 8-bit floats: in the one layout that Hopper has, with scales that the device reads, fast sums where they
    /// were asked for. The fake refuses what the library refuses.
    @Test(arguments: [0, 1, 7, 16], [DType.bf16, .f32]) func eightBitsMatchTheProcessor(
        rows: Int, result: DType
    ) throws {
        let device = try makeFakeDevice()
        var random = SeededGenerator(seed: 33)
        for (a, b) in [(DType.e4m3, DType.e4m3), (.e5m2, .e4m3), (.e4m3, .e5m2)] {
            for (accumulate, sumsFast) in [(false, true), (true, false)] {
                let factors = try [(rows, a, Float(0.5)), (48, b, Float(0.25))].map { rows, dtype, scale in
                    Float8Factor(
                        values: try random.array([rows, 32], dtype, in: -4...4),
                        scale: try NDArray([scale], [1]))
                }
                let c = try random.array([rows, 48], result, in: -4...4)
                let there = try factors.map {
                    Float8Factor(
                        values: try $0.values.moved(to: device), scale: try $0.scale.moved(to: device))
                }
                let d = try c.moved(to: device)
                for (factors, c) in [(factors, c), (there, d)] {
                    _ = try MatMul.apply(
                        factors[0], factors[1], into: c, accumulate: accumulate, sumsFast: sumsFast)
                }
                // Products of such factors are exact; sums are rounded to fp32 once or 32 times.
                #expect(
                    relativeError(d.doubles, c.doubles) < (result == .f32 ? 1e-6 : 0x1p-8),
                    "\(a) \(b) \(accumulate)")
                #expect(rows == 0 || (fake.pointee.fast_sums == 1) == sumsFast)
            }
        }
        #expect(fake.pointee.float8_products == (rows == 0 ? 0 : 6))
    }

    /// One plan serves all products of a size, whose scales are elsewhere each time.
    @Test func scalesAreThoseOfEachProduct() throws {
        let device = try makeFakeDevice()
        let ones = try NDArray([Float](repeating: 1, count: 256), [16, 16], dtype: .e4m3).moved(to: device)
        for scale in [Float(1), 0.5, 3] {
            let a = Float8Factor(values: ones, scale: try NDArray([scale], [1]).moved(to: device))
            let b = Float8Factor(values: ones, scale: try NDArray([Float(2)], [1]).moved(to: device))
            #expect(try MatMul.apply(a, b).doubles.allSatisfy { $0 == 32 * Double(scale) })
        }
    }

    @Test func eightBitsNeedAda() throws {
        let device = try makeFakeDevice(capability: 86)
        let values = try NDArray.zeros([16, 16], dtype: .e4m3, device: device)
        let factor = Float8Factor(values: values, scale: try .zeros([1], device: device))
        #expect(message { _ = try MatMul.apply(factor, factor) }.contains("compute capability 8.9"))
        #expect(fake.pointee.products == 0)
        #expect(try makeFakeDevice(capability: 89).traits.multipliesFloat8)
    }

    /// Heads of [row, head, element], one factor shared or not, results interleaved; also without terms.
    @Test(arguments: [1, 3], [4, 0]) func batchesMatchTheProcessor(count: Int, inner: Int) throws {
        let device = try makeFakeDevice()
        var random = SeededGenerator(seed: 32)
        for type in Self.types {
            for (accumulate, isShared) in [(false, false), (true, false), (false, true)] {
                let a = try matrix(5, count * inner, type.factors, false, &random)
                let b = try matrix(inner * (isShared ? 1 : count), 3, type.factors, false, &random)
                let c = try matrix(5, count * 3, type.result, false, &random)
                let (x, y, z) = (try moved(a, device), try moved(b, device), try moved(c, device))
                for (a, b, c) in [(a, b, c), (x, y, z)] {
                    try MatMul.applyBatched(
                        batch(a, [count, 5, inner], inner),
                        batch(b, [count, inner, 3], isShared ? 0 : inner * 6),
                        into: batch(c, [count, 5, 3], 3), alpha: -0.75, accumulate: accumulate)
                }
                #expect(z.doubles == c.doubles, "\(type) \(accumulate) \(isShared)")
            }
        }
        // One call for a batch; none where there are no terms.
        #expect(fake.pointee.products == (inner == 0 ? 0 : 9))
    }

    /// Sums that no cache holds want the smallest tiles that the library suggests; others its favourite.
    @Test(arguments: [DType.bf16, .f32], [4095, 4096]) func largeSumsTakeSmallTiles(
        dtype: DType, rows: Int
    ) throws {
        let device = try makeFakeDevice()
        let a = try NDArray.zeros([rows, 1], dtype: dtype, device: device)
        let b = try NDArray.zeros([1, 4096], dtype: dtype, device: device)
        let c = try NDArray.zeros([rows, 4096], dtype: .f32, device: device)
        for accumulate in [false, true] {
            _ = try MatMul.apply(a, b, into: c, accumulate: accumulate)
            #expect(fake.pointee.algorithm == (dtype == .bf16 && rows == 4096 ? 1 : 0))
        }
    }

    private func batch(_ x: NDArray, _ shape: [Int], _ step: Int) -> NDArray {
        NDArray(
            buffer: x.buffer, offset: x.offset, shape: shape, strides: [step] + x.strides, dtype: x.dtype)
    }

    /// A matrix of small whole numbers whose rows lie 3 elements apart, stored transposed where asked.
    private func matrix(
        _ rows: Int, _ columns: Int, _ dtype: DType, _ transposed: Bool, _ random: inout SeededGenerator
    ) throws -> NDArray {
        let (outer, inner) = transposed ? (columns, rows) : (rows, columns)
        let values = (0..<outer * (inner + 3)).map { _ in Float(Int.random(in: -4...4, using: &random)) }
        return try NDArray(values, [outer, inner + 3], dtype: dtype).sliced(1, 2..<(inner + 2))
    }

    /// The same view of the same elements on a device.
    private func moved(_ array: NDArray, _ device: Device) throws -> NDArray {
        let count = array.buffer.byteCount / array.dtype.byteCount
        let whole = NDArray(
            buffer: array.buffer, offset: 0, shape: [count], strides: [1], dtype: array.dtype)
        let copy = try whole.moved(to: device)
        return NDArray(
            buffer: copy.buffer, offset: array.offset, shape: array.shape, strides: array.strides,
            dtype: array.dtype)
    }

    @Test func asksOnlyForFixedOrders() throws {
        let device = try makeFakeDevice()
        let a = try NDArray.zeros([4, 8], dtype: .bf16, device: device)
        let b = try NDArray.zeros([8, 4], dtype: .bf16, device: device)
        _ = try MatMul.apply(a.sliced(1, 1..<8), b.sliced(0, 0..<7))
        #expect(fake.pointee.reduction_mask == 2)
        #expect(fake.pointee.workspace_bytes == 32 << 20)
        // The library's first factor is our second, whose slice starts at its buffer's start.
        #expect(fake.pointee.alignments.0 == 256)
        #expect(fake.pointee.alignments.1 == 2)
        #expect(fake.pointee.products == 1)
    }

    @Test func mixedTypesAreRefused() throws {
        let device = try makeFakeDevice()
        let a = try NDArray.zeros([4, 4], dtype: .bf16, device: device)
        let b = try NDArray.zeros([4, 4], device: device)
        #expect(message { _ = try MatMul.apply(a, b) }.contains("of bf16 by f32 into f32"))
    }
}

@Suite struct LibrarySearchTests {
    @Test func looksIntoPythonEnvironments() throws {
        let manager = FileManager.default
        let root = manager.temporaryDirectory.path + "/search-\(UInt64.random(in: 0 ... .max))"
        defer { try? manager.removeItem(atPath: root) }
        let folder = root + "/lib/python3.12/site-packages/nvidia/cu13/lib"
        for path in [folder, root + "/bin"] {
            try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        for file in [folder + "/libcublasLt.so.13", root + "/bin/python"] {
            #expect(manager.createFile(atPath: file, contents: Data()))
        }
        let found = LibrarySearch.cublasLt(["LIGER_PYTHON": root + "/bin/python"]).candidates
        #expect(found.prefix(2) == ["libcublasLt.so.13", "libcublasLt.so.12"])
        #expect(found.contains(folder + "/libcublasLt.so.13"))
        let only = LibrarySearch.cublasLt(["LIGER_CUBLASLT": folder, "VIRTUAL_ENV": root]).candidates
        #expect(only == [folder + "/libcublasLt.so.13", folder + "/libcublasLt.so.12"])
        #expect(LibrarySearch.cublasLt(["LIGER_CUBLASLT": "/x/y.so"]).candidates == ["/x/y.so"])
        // cuDNN comes from there first: beside PyTorch there is a newer one than in a system.
        let packaged = root + "/lib/python3.12/site-packages/nvidia/cudnn/lib"
        try manager.createDirectory(atPath: packaged, withIntermediateDirectories: true)
        #expect(manager.createFile(atPath: packaged + "/libcudnn.so.9", contents: Data()))
        let cudnn = LibrarySearch.cudnn(["LIGER_PYTHON": root + "/bin/python"]).candidates
        #expect(cudnn.first == packaged + "/libcudnn.so.9" && cudnn.contains("libcudnn.so.9"))
        #expect(LibrarySearch.cudnn(["LIGER_CUDNN": "/x/z.so"]).candidates == ["/x/z.so"])
    }
}
