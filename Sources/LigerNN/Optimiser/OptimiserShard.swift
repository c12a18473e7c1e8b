import LigerKernels
package import LigerRuntime
import Tile

/// Which elements of each parameter one of several ranks keeps the optimiser's state of, and updates (Rajbhandari and
/// others, 2020).
///
/// Every parameter is cut into one part a rank. Parts begin at multiples of `unit`, so that sums of squares, updates, random
/// words and 8-bit scales are those of the whole parameter, bit for bit. Which rank has the first part goes round from
/// parameter to parameter, so that small ones do not all belong to rank 0.
package struct OptimiserShard: Sendable, Hashable {
    package let rank: Int
    package let count: Int

    /// Elements: whole blocks of `GradientNorm`, and so of `AdamW` and of its scales.
    package static let unit = GradientNorm.block

    package init(rank: Int, of count: Int) {
        precondition((0..<count).contains(rank), "a rank among all")
        (self.rank, self.count) = (rank, count)
    }

    /// The elements of each rank, by rank: those that it keeps where the parameter is cut.
    package func parts(of parameter: Parameter, number: Int) -> [Range<Int>] {
        parameter.part?.parts ?? parts(of: parameter.count, number: number)
    }

    /// The elements of each rank, by rank.
    ///
    /// - Parameters:
    ///   - elements: of the whole parameter.
    ///   - number: its place among all.
    package func parts(of elements: Int, number: Int) -> [Range<Int>] {
        // What has no whole vectors is left whole: parts of it would have some, and a GPU adds those in another order.
        let isCut = elements % 8 == 0
        let each = isCut ? ((elements + count - 1) / count + Self.unit - 1) / Self.unit * Self.unit : elements
        return (0..<count).map { rank in
            let place = (rank + number) % count
            return min(place * each, elements)..<min((place + 1) * each, elements)
        }
    }
}

extension AdamWOptimiser.Storage {
    /// Bytes of moments, scales and masters of so many elements.
    private func bytes(of elements: Int, in parameter: Parameter) -> Int {
        let moments = moments(of: parameter.count)
        let scales = moments == .u8 ? 2 * 4 * (elements / AdamW.block) : 0
        let master = keepsMasters && parameter.dtype != .f32 ? 4 * elements : 0
        return 2 * moments.byteCount * elements + scales + master
    }

    /// Bytes of each rank's state, of so many.
    ///
    /// - Parameter given: the elements of each rank, where they are other than the usual ones.
    package func shardBytes(
        _ parameters: [Parameter], ranks: Int, given: (Parameter) -> [Range<Int>]? = { _ in nil }
    ) -> [Int] {
        var bytes = [Int](repeating: 0, count: ranks)
        let all = OptimiserShard(rank: 0, of: ranks)
        for (number, parameter) in parameters.filter(\.requiresGradient).enumerated() {
            let parts = given(parameter) ?? all.parts(of: parameter, number: number)
            for (rank, part) in parts.enumerated() {
                bytes[rank] += self.bytes(of: part.count, in: parameter)
            }
        }
        return bytes
    }
}

extension NDArray {
    /// Some of its elements, in one dimension; itself for nil.
    func elements(_ range: Range<Int>?) -> NDArray { range.map { flattened.sliced(0, $0) } ?? self }
}

extension AdamWOptimiser.State {
    func slot(gradient: NDArray) -> AdamW.Slot {
        var slot = AdamW.Slot(
            parameter: parameter.elements(part), gradient: gradient, m: mean, v: meanSquare,
            scales: scales, master: master, weightDecay: parameter.decays, number: number)
        if let part { (slot.offset, slot.whole) = (part.lowerBound, parameter.count) }
        return slot
    }
}

extension AdamWOptimiser {
    /// What a checkpoint saves under a name.
    package struct SavedArray {
        package let name: String
        /// All of it, or this rank's elements in one dimension.
        package let array: NDArray
        /// Of all of it.
        package let shape: [Int]
        /// The elements of each rank, by rank; nil where every rank has all.
        package let parts: [Range<Int>]?
    }

    /// The parameters, with the elements that each rank updates; empty where this one updates all.
    package var parts: [(parameter: Parameter, parts: [Range<Int>])] {
        guard let shard else { return [] }
        return states.map { ($0.parameter, shard.parts(of: $0.parameter, number: $0.number)) }
    }

    /// As `state`, with what a rank needs to know of those that have other parts; in an order that all ranks have.
    package var savedArrays: [SavedArray] {
        let factor = (updates?.factor).map {
            SavedArray(name: "clip_factor", array: $0, shape: $0.shape, parts: nil)
        }
        return states.flatMap { savedArrays(of: $0) } + [factor].compactMap { $0 }
    }

    private func savedArrays(of state: State) -> [SavedArray] {
        let parameter = state.parameter
        let parts = shard?.parts(of: parameter, number: state.number)
        func saved(_ prefix: String, _ array: NDArray?, elementsEach: Int = 1) -> SavedArray? {
            array.map {
                SavedArray(
                    name: prefix + parameter.name, array: $0,
                    shape: elementsEach == 1 ? parameter.shape : [parameter.count / elementsEach],
                    parts: parts?.map { $0.lowerBound / elementsEach..<$0.upperBound / elementsEach })
            }
        }
        return [
            saved("exp_avg.", state.mean), saved("exp_avg_sq.", state.meanSquare),
            saved("exp_avg_scale.", state.scales?.m, elementsEach: AdamW.block),
            saved("exp_avg_sq_scale.", state.scales?.v, elementsEach: AdamW.block),
            saved("master.", state.master),
        ].compactMap { $0 }
    }
}
