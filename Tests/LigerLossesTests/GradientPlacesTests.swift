import FakeCUDA
import LigerCatalogue
import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Exponentials of all tokens in the memory of the weight's gradient.
@Suite struct GradientPlacesTests {
    private func layer(_ tokens: Int, _ hidden: Int, _ classes: Int) -> LinearShape {
        var layer = LinearShape(
            tokens: tokens, hidden: hidden, vocabulary: classes, dtype: .bf16, logits: .bf16)
        layer.isExponential = true
        return layer
    }

    /// Goes through the gradient as it is written: nothing that is still needed is written over.
    @Test(arguments: [
        (8192, 4096, 128_256), (4096, 4096, 128_256), (4096, 3584, 152_064), (2048, 4096, 50_257),
        (4097, 4096, 32_001), (1, 8, 10), (3, 2, 1000), (7, 8, 640), (9, 8, 70_000), (4096, 2049, 128_000),
        (512, 8192, 262_144),
    ])
    func nothingIsWrittenOver(tokens: Int, hidden: Int, classes: Int) throws {
        let places = GradientPlaces(layer(tokens, hidden, classes), leastBytes: 0)
        guard let places else {
            #expect(classes <= 64, "\(tokens)x\(hidden)x\(classes)")
            return
        }
        let pieces = places.pieces
        #expect(pieces.map(\.classes.lowerBound) == [0] + pieces.dropLast().map(\.classes.upperBound))
        #expect(pieces.last?.classes.upperBound == classes)
        #expect(pieces[0].offset == nil && pieces.count > 1)
        func span(_ piece: GradientPlaces.Piece) -> Range<Int>? {
            let pitch = (piece.classes.count + 63) / 64 * 64
            return piece.offset.map { $0..<($0 + tokens * pitch) }
        }
        var needed = pieces
        for piece in pieces.reversed() {
            let rows = (hidden * piece.classes.lowerBound)..<(hidden * piece.classes.upperBound)
            for span in needed.compactMap(span) {
                #expect(span.upperBound <= hidden * classes)
                #expect(!span.overlaps(rows), "\(span) and rows \(rows)")
            }
            needed.removeLast()
        }
        let spans = pieces.compactMap(span)
        for (a, b) in zip(spans, spans.dropFirst()) { #expect(a.upperBound <= b.lowerBound) }
    }

    /// Where most would lie apart nothing is gained.
    @Test func manyTokensAreChunks() throws {
        let apart = try #require(GradientPlaces(layer(16_384, 4096, 128_256)))
        #expect(apart.apartCount(tokens: 16_384) * 2 > 3 * 128_256 * 4096 * 2)
        #expect(GradientPlaces(layer(64, 4096, 128_256)) == nil, "small ones are not worth it")
    }

    /// As a GPU whose kernels multiply has it when nothing is said.
    @Test(.onFakeGPU) func takesLessThanChunksDo() throws {
        let device = try makeFakeDevice(memory: 64 << 30)
        func plan(
            _ tokens: Int, _ needs: LinearNeeds = [.input, .weight], hidden: Int = 4096
        ) -> ChunkPlan {
            FusedLinearCrossEntropy.plan(
                tokens: tokens, hidden: hidden, vocabulary: 128_256, dtype: .bf16, needs: needs, on: device)
        }
        #expect(plan(8192).places != nil && plan(8192).chunks == 1)
        #expect(plan(8192).peakBytes < 1440 << 20, "\(plan(8192))")
        #expect(plan(4096).peakBytes < 280 << 20, "\(plan(4096))")
        #expect(plan(16_384).places == nil && plan(8192, hidden: 768).places == nil)
        #expect(plan(16_384).peakBytes < 1740 << 20, "\(plan(16_384))")
        #expect(plan(8192, .input).places == nil, "there is no gradient to lie in")
    }

    /// Loss and gradients against chunks with memory of their own; in the last, labels far below other logits, whose rows
    /// overflow.
    @Test(arguments: [
        (24, 16, 700, 1), (16, 24, 700, 1), (33, 32, 1283, 1), (5, 8, 4096, 1), (24, 16, 700, 60),
    ])
    func agreesWithChunks(tokens: Int, hidden: Int, classes: Int, scale: Int) throws {
        var samples = Samples(seed: 9)
        let x = try samples.array([tokens, hidden], .bf16)
        let w = try Cast.apply(samples.array([classes, hidden], .f32), to: .bf16, times: Float(scale))
        let numbers = (0..<tokens).map { $0 % 7 == 3 ? -100 : ($0 * 37) % classes }
        let labels = try NDArray(integers: numbers)
        func gradients(
            inGradient: Bool
        ) throws -> (nll: [Double], sums: [Double], LinearChunks.Gradients) {
            let linear = try LinearChunks(input: x, weight: w, bias: nil, isExponential: true)
            let needs: LinearNeeds = [.input, .weight]
            let placed = ChunkPlan(inGradientOf: linear.shape, needs: needs, lossBytes: 0, leastBytes: 0)
            let whole = ChunkPlan(
                linear.shape, needs: needs, exact: true, budgetBytes: 1 << 40, lossBytes: 0)
            let plan = inGradient ? placed ?? whole : whole
            #expect((plan.places != nil) == inGradient)
            var (nll, sums): ([Double], [Double]) = ([], [])
            let options = LabelExponentials.Options(temperature: 0.5, wantsLogitSums: true)
            let found = try linear.runExponentials(
                plan, labels: labels, options: options, needs: needs, exact: true
            ) { found, factors, _ in
                (nll, sums) = (found.nll.doubles, try #require(found.logitSums).doubles)
                let weights = zip(found.total.doubles, numbers).map { $1 < 0 ? 0 : Float(1 / $0) }
                try NDArray(weights).copyBytes(to: factors)
            }
            return (nll, sums, found)
        }
        let (a, b) = try LabelScores.$isForced.withValue(true) {
            try LogitStorage.$isAsOnGPU.withValue(true) {
                (try gradients(inGradient: true), try gradients(inGradient: false))
            }
        }
        #expect(TestSupport.relativeError(a.nll, b.nll) < 1e-5)
        #expect(TestSupport.relativeError(a.sums, b.sums) < 1e-5)
        for (found, expected) in [(a.2.input, b.2.input), (a.2.weight, b.2.weight)] {
            #expect(
                try TestSupport.relativeError(#require(found).doubles, #require(expected).doubles) < 0x1p-7)
        }
    }
}
