import Foundation
import LigerRuntime
import Platform
import TestSupport
import Testing

@Suite struct BLASTests {
    struct Shape: CustomTestStringConvertible, Sendable {
        let rows, columns, inner: Int
        var testDescription: String { "\(rows)x\(columns)x\(inner)" }
    }

    /// Odd sizes around the kernels' blocks, an empty inner dimension, and some that are split into tiles
    /// along the rows, along the columns and along both, the last tile shorter.
    static let shapes = [
        Shape(rows: 1, columns: 1, inner: 1), Shape(rows: 2, columns: 3, inner: 0),
        Shape(rows: 1, columns: 65, inner: 7), Shape(rows: 33, columns: 17, inner: 31),
        Shape(rows: 301, columns: 67, inner: 129), Shape(rows: 63, columns: 517, inner: 65),
        Shape(rows: 270, columns: 303, inner: 37),
    ]

    /// A product with its own storage; strides exceed rows by `extra`.
    struct Storage {
        var a, b, c: [Float]
        let shape: Shape
        let transposes: (a: Bool, b: Bool)
        let extra: Int

        init(_ shape: Shape, transposeA: Bool, transposeB: Bool, extra: Int, seed: UInt64) {
            var generator = SeededGenerator(seed: seed)
            self.shape = shape
            transposes = (transposeA, transposeB)
            self.extra = extra
            a = generator.floats(max(shape.rows, shape.inner) * (max(shape.rows, shape.inner) + extra))
            b = generator.floats(max(shape.inner, shape.columns) * (max(shape.inner, shape.columns) + extra))
            c = generator.floats(shape.rows * (shape.columns + extra))
        }

        var strides: (a: Int, b: Int, c: Int) {
            (
                (transposes.a ? shape.rows : shape.inner) + extra,
                (transposes.b ? shape.inner : shape.columns) + extra, shape.columns + extra
            )
        }

        /// C after the product, computed by `compute`.
        func result(alpha: Float, beta: Float, _ compute: (MatrixProduct) -> Void) -> [Float] {
            var c = c
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    c.withUnsafeMutableBufferPointer { c in
                        guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else {
                            return
                        }
                        compute(
                            MatrixProduct(
                                rows: shape.rows, columns: shape.columns, inner: shape.inner, alpha: alpha,
                                .init(a, rowStride: strides.a, transposed: transposes.a),
                                .init(b, rowStride: strides.b, transposed: transposes.b), beta: beta, into: c,
                                rowStride: strides.c))
                    }
                }
            }
            return c
        }

        /// The element at (row, column) in Double, and the bound on the error of a float sum in any order.
        func exact(_ row: Int, _ column: Int, alpha: Float, beta: Float) -> (value: Double, bound: Double) {
            var (sum, magnitude) = (0.0, 0.0)
            for k in 0..<shape.inner {
                let x = transposes.a ? a[k * strides.a + row] : a[row * strides.a + k]
                let y = transposes.b ? b[column * strides.b + k] : b[k * strides.b + column]
                sum += Double(x) * Double(y)
                magnitude += (Double(x) * Double(y)).magnitude
            }
            let before = beta == 0 ? 0 : Double(beta) * Double(c[row * strides.c + column])
            let total = Double(alpha).magnitude * magnitude + before.magnitude
            return (Double(alpha) * sum + before, Double(shape.inner + 3) * 0x1p-24 * total)
        }
    }

    @Test(arguments: shapes, [(false, false), (false, true), (true, false), (true, true)])
    func matchesATripleLoop(shape: Shape, transposes: (Bool, Bool)) throws {
        let blas = try BLAS.load()
        for (alpha, beta, extra) in [(1, 0, 0), (1, 1, 5), (-0.5, 0.25, 3), (0, 2, 1)]
            as [(Float, Float, Int)]
        {
            let storage = Storage(
                shape, transposeA: transposes.0, transposeB: transposes.1, extra: extra, seed: 31)
            let got = storage.result(alpha: alpha, beta: beta) { blas.gemm($0) }
            for row in 0..<shape.rows {
                for column in 0..<shape.columns + extra {
                    let value = got[row * storage.strides.c + column]
                    if column < shape.columns {
                        let exact = storage.exact(row, column, alpha: alpha, beta: beta)
                        guard (Double(value) - exact.value).magnitude <= exact.bound else {
                            Issue.record(
                                "\(value) is not \(exact.value) at \(row), \(column), alpha \(alpha)")
                            return
                        }
                    } else {
                        #expect(value == storage.c[row * storage.strides.c + column], "wrote between rows")
                    }
                }
            }
        }
    }

    @Test(arguments: shapes)
    func threadsDoNotChangeBits(shape: Shape) throws {
        let blas = try BLAS.load()
        let storage = Storage(shape, transposeA: false, transposeB: true, extra: 2, seed: 32)
        let one = storage.result(alpha: 1, beta: 1) { blas.gemm($0, pool: ThreadPool(threadCount: 1)) }
        for count in [2, 3, 8] {
            let several = storage.result(alpha: 1, beta: 1) {
                blas.gemm($0, pool: ThreadPool(threadCount: count))
            }
            #expect(
                firstDifference(several.map(\.bitPattern), one.map(\.bitPattern)) == nil, "\(count) threads")
        }
    }

    @Test func aMissingLibraryIsNamed() throws {
        let missing = "/nowhere/libopenblas.so"
        let error = #expect(throws: BLASError.self) {
            _ = try BLASLibrary.load(environment: ["LIGER_BLAS": missing])
        }
        guard case .notFound(let attempts, let requested) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts.map(\.path) == [missing] && requested == missing)
        let text = try #require(error).description
        for part in [missing, "apt-get install libopenblas0-pthread", "pip install scipy-openblas32"] {
            #expect(text.contains(part))
        }
    }

    @Test func aFolderIsSearchedAndAnotherLibraryRefused() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: BLASError.self) {
            _ = try BLASLibrary.load(environment: ["LIGER_BLAS": folder.url.path])
        }
        guard case .notFound(let attempts, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts.map(\.path) == BLASLibrary.fileNames.map { folder.file($0).path })
        if System.isMac { return }
        #expect(throws: BLASError.missingSymbol("libm.so.6")) {
            _ = try BLASLibrary.load(environment: ["LIGER_BLAS": "libm.so.6"])
        }
    }

    @Test func describesItself() throws {
        let text = try BLAS.load().description
        #expect(text.contains("/"), "the path of the file in \(text)")
        if text.contains("OpenBLAS") { #expect(text.contains("core type")) }
    }
}
