import LigerKernels
import LigerRuntime
import Tile

extension Routing: Catalogued {
    package static let entry = CatalogueEntry(
        name: "Routing",
        summary: "w_k = p[e_k], p = softmax(x), e_k the K largest; E sum of f P; rows of experts",
        workload: { size in
            let sample = try RoutingSample(
                size.samples(seed: 34), tokens: size.rows, experts: 128,
                .init(choices: 8, normalises: true), size.dtype, size.device)
            return Workload(
                shape: "\(size.rows) tokens, 8 of 128 experts \(size.dtype.rawValue)",
                floorBytes: 3 * sample.scores.byteCount
            ) { _ = try sample.run() }
        },
        check: { point in
            let (experts, choices) = sizes(columns: point.columns)
            let options = Options(choices: choices, normalises: point.columns % 2 == 0)
            let sample = try RoutingSample(
                point.samples, tokens: point.rows, experts: experts, options, point.dtype, point.device)
            return try sample.results(point)
        })

    /// The more columns the check has, the more experts and choices.
    private static func sizes(columns: Int) -> (experts: Int, choices: Int) {
        switch columns {
        case 100_000...: (mostExperts, mostChoices)
        case 20_000...: (512, 10)
        case 4096...: (128, 8)
        case 1000...: (60, 4)
        // With all experts chosen the loss of routers has no gradient.
        default: (columns, columns > 2 ? 2 : 1)
        }
    }
}

/// Scores, and a gradient of weights.
private struct RoutingSample {
    let scores: NDArray
    let dWeights: NDArray
    let options: Routing.Options

    init(
        _ samples: Samples, tokens: Int, experts: Int, _ options: Routing.Options, _ dtype: DType,
        _ device: Device
    ) throws {
        var samples = samples
        scores = try samples.array([tokens, experts], dtype, in: -4...4)
        dWeights = try samples.array([tokens, options.choices], .f32)
        self.options = options
    }

    /// Which tokens count for the loss: all but every fourth.
    private var counts: [Bool] { (0..<scores.shape[0]).map { $0 % 4 != 3 } }

    struct Found {
        let weights, choices, dScores, loss, slopes, balanced: NDArray
        let rows: ExpertRows
    }

    func run() throws -> Found {
        let (weights, choices) = try Routing.forward(scores, options)
        let dScores = try Routing.backward(
            dWeights: dWeights, scores: scores, weights: weights, choices: choices, options)
        let counted = try NDArray(
            integers: counts.map { $0 ? 1 : 0 }, dtype: .i32, device: scores.device)
        let sums = try RouterBalance.sums(scores, choices: choices, counted: counted)
        let (loss, slopes) = try RouterBalance.loss([sums], choices: options.choices)
        let nothing = try NDArray.zeros(scores.shape, dtype: scores.dtype, device: scores.device)
        let one = try NDArray([Float(scores.shape[0])], device: scores.device)
        let balanced = try RouterBalance.backward(
            dScores: nothing, scores: scores, slopes: slopes, counted: counted, factor: one)
        return Found(
            weights: weights, choices: choices, dScores: dScores, loss: loss, slopes: slopes,
            balanced: balanced,
            rows: try ExpertRows(finding: choices, experts: scores.shape[1]))
    }

    func results(_ point: CheckCase) throws -> [CheckResult] {
        let found = try run(), experts = scores.shape[1], count = options.choices
        let rows = scores.doubles.cut(experts), slopes = dWeights.doubles.cut(count)
        let balance = RouterBalance.Reference([rows], options, counted: counts)
        let tokens = Double(rows.count)
        let single = Routing.Options(choices: 1, normalises: false)
        let mostLikely = rows.flatMap { Routing.Reference.weights($0, single) }.max() ?? 0
        let place = try ExpertRows(found.choices.integers, experts: experts)
        func exact(_ name: String, _ array: NDArray, _ expected: [Int]) -> CheckResult {
            let isEqual = array.integers == expected
            return CheckResult(quantity: name, error: isEqual ? 0 : 1, bound: 0)
        }
        return [
            point.result(
                "weights", found.weights, rows.flatMap { Routing.Reference.weights($0, options) }, terms: 4),
            exact("choices", found.choices, rows.flatMap { Routing.Reference.choices($0, options) }),
            point.result(
                "dscores", found.dScores,
                zip(rows, slopes).flatMap {
                    Routing.Reference.backward(dWeights: $1, scores: $0, options)
                }, terms: 8, scale: 1),
            point.result("loss", found.loss, [balance.loss], terms: 4),
            point.result(
                "balanced", found.balanced, balance.gradients[0].joined().map { $0 * tokens }, terms: 8,
                scale: tokens * mostLikely * (found.slopes.doubles.max() ?? 0)),
            exact("place", found.rows.place, place.place.integers),
            exact("source", found.rows.source, place.source.integers),
            exact("starts", found.rows.starts, place.starts.integers),
            exact("count", found.rows.count, place.count.integers),
        ]
    }
}

extension [Double] {
    fileprivate func cut(_ length: Int) -> [[Double]] {
        stride(from: 0, to: count, by: length).map { Array(self[$0..<$0 + length]) }
    }
}
