import LigerKernels
import LigerRuntime
import Tile

/// Factors of a product in 8-bit floats, and what they were rounded from.
struct Float8ProductSample {
    static let entry = CatalogueEntry(
        name: "Float8Product", summary: "q(x) q(W)^T of e4m3, or of e5m2 by e4m3, by the library",
        workload: { size in
            let sample = try Float8ProductSample(size)
            return sample.workload {
                _ = try MatMul.apply(sample.x, sample.w, into: sample.y, sumsFast: true)
            }
        },
        check: { point in try results(point) },
        refusal: { _, device in
            device.traits.multipliesFloat8 ? nil : "8-bit products begin with compute capability 8.9"
        },
        alternatives: [
            CatalogueEntry(
                name: "RoundedProduct", summary: "the same, with both factors rounded first",
                workload: { size in
                    let sample = try Float8ProductSample(size)
                    return sample.workload {
                        let (x, w) = (sample.wideX, sample.wideW)
                        _ = try MatMul.apply(
                            Float8Factor(rounding: x, to: .e4m3), Float8Factor(rounding: w, to: .e4m3),
                            into: sample.y, sumsFast: true)
                    }
                },
                check: { point in try results(point) }),
            CatalogueEntry(
                name: "WideProduct", summary: "x W^T of the numbers that these are rounded from",
                workload: { size in
                    let sample = try Float8ProductSample(size)
                    return sample.workload {
                        _ = try MatMul.apply(sample.wideX, sample.wideW, transposeB: true, into: sample.y)
                    }
                },
                check: { point in try results(point) }),
        ])

    private let wideX: NDArray
    private let wideW: NDArray
    private let x: Float8Factor
    private let w: Float8Factor
    private let y: NDArray

    private init(_ size: BenchmarkSize) throws {
        var samples = size.samples(seed: 37)
        let inner = Self.whole(size.hidden ?? size.columns / 8), columns = Self.whole(size.vocabulary)
        wideX = try samples.array([size.rows, inner], size.dtype)
        wideW = try samples.array([columns, inner], size.dtype, in: -0.05...0.05)
        (x, w) = (try Float8Factor(rounding: wideX, to: .e4m3), try Float8Factor(rounding: wideW, to: .e4m3))
        y = try NDArray(empty: [size.rows, columns], dtype: size.dtype, device: size.device)
    }

    private func workload(_ run: @escaping () throws -> Void) -> Workload {
        Workload(
            shape: "\(wideX.shape[0])x\(wideX.shape[1])x\(wideW.shape[0]) into \(y.dtype.rawValue)",
            floorBytes: x.values.count + w.values.count + y.byteCount, run: run)
    }

    private static func whole(_ size: Int) -> Int {
        (size + MatMul.float8Multiple - 1) / MatMul.float8Multiple * MatMul.float8Multiple
    }

    private static func results(_ point: CheckCase) throws -> [CheckResult] {
        var samples = point.samples
        let columns = whole(min(point.columns, 1500)), inner = 16 * (1 + point.columns % 19)
        let x = try samples.array([point.rows, inner], point.dtype)
        let w = try Float8Factor(rounding: samples.array([columns, inner], point.dtype), to: .e4m3)
        return try [DType.e4m3, .e5m2].flatMap { type in
            let a = try Float8Factor(rounding: x, to: type)
            let (sums, scale) = expected(a, w)
            return try [false, true].map { sumsFast in
                let y = try MatMul.apply(a, w, dtype: point.dtype, sumsFast: sumsFast)
                let exact = point.result("", y, sums, terms: inner, scale: scale)
                return CheckResult(
                    quantity: "\(type) by e4m3" + (sumsFast ? ", fast sums" : ""), error: exact.error,
                    bound: exact.bound + roundingOfSums(point.device), values: exact.values)
            }
        }
    }

    /// The products' sums in Double, and the largest sum of terms' magnitudes.
    private static func expected(_ a: Float8Factor, _ b: Float8Factor) -> (sums: [Double], scale: Double) {
        let (x, y, inner) = (a.values.doubles, b.values.doubles, a.values.shape[1])
        let scale = a.scale.doubles[0] * b.scale.doubles[0]
        var (sums, largest) = ([Double](), 0.0)
        for i in 0..<a.values.shape[0] {
            for j in 0..<b.values.shape[0] {
                var (sum, magnitude) = (0.0, 0.0)
                for k in 0..<inner {
                    let term = x[i * inner + k] * y[j * inner + k]
                    sum += term
                    magnitude += term.magnitude
                }
                sums.append(scale * sum)
                largest = max(largest, scale * magnitude)
            }
        }
        return (sums, largest)
    }

    /// Hopper's tensor cores align the products that they add up to the largest of them, and keep some 14 bits of it
    /// (DeepSeek-V3's report, section 3.5.2); other GPUs keep more. The processor sums in fp32.
    private static func roundingOfSums(_ device: Device) -> Double { device.isGPU ? 0x1p-12 : 0 }
}
