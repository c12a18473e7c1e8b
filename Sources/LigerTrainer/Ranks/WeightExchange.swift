internal import LigerCollectives
internal import LigerNN
internal import LigerRuntime
internal import Tile

/// Weights of which each rank keeps a part (ZeRO, stage 3): gathered before layers use them, one place of the decoder
/// ahead, and given up afterwards.
///
/// A gather is handed to the side queue as the place before it begins, so that on a GPU it goes on behind that place's
/// work. At most two places' weights are whole at a time. The last block's stay from the forward to the backward pass.
/// Every rank opens the same places in the same order. Small weights are there at all times.
final class WeightExchange {
    private let ranks: Ranks
    private let places: [Place]
    /// The first place that has something to gather.
    private let first: Int?

    /// Cuts a decoder's large weights, of which this rank keeps its part from now on.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    init(_ decoder: Decoder, ranks: Ranks) throws {
        self.ranks = ranks
        // What is cut already is in parts for another reason.
        let cuts = Self.cuts(of: decoder, ranks: ranks.count).filter { $0.parameter.part == nil }
        for (parameter, parts) in cuts { try parameter.keep(parts, of: ranks.rank) }
        let gathered = Set(cuts.map { ObjectIdentifier($0.parameter) })
        let places = decoder.places.map { place in
            Place(place.parameters.filter { gathered.contains(ObjectIdentifier($0)) })
        }
        self.places = places
        first = places.firstIndex { !$0.parameters.isEmpty }
        serve(decoder)
        if let device = decoder.parameters.first?.device { device.releaseCache() }
    }

    /// Gathers for a decoder: that whose weights were cut, or one that shares them.
    func serve(_ decoder: Decoder) {
        for (number, place) in decoder.places.enumerated() where !places[number].parameters.isEmpty {
            place.place.weights = Opening(exchange: self, number: number)
        }
    }

    /// Parameters that are cut, with each rank's elements: those that it updates, if they are trained.
    static func cuts(of decoder: Decoder, ranks: Int) -> [(parameter: Parameter, parts: [Range<Int>])] {
        let shard = OptimiserShard(rank: 0, of: ranks)
        let trained = decoder.trainedParameters.filter(\.requiresGradient)
        var numbers: [ObjectIdentifier: Int] = [:]
        for all in [decoder.parameters, trained] {
            for (number, parameter) in all.enumerated() { numbers[ObjectIdentifier(parameter)] = number }
        }
        var seen: Set<ObjectIdentifier> = []
        return decoder.places.flatMap(\.parameters).compactMap { parameter in
            let id = ObjectIdentifier(parameter)
            guard seen.insert(id).inserted else { return nil }
            let parts = shard.parts(of: parameter.count, number: numbers[id] ?? 0)
            return parts.count { !$0.isEmpty } > 1 ? (parameter, parts) : nil
        }
    }

    // MARK: Passes

    /// Gives up what is whole, before weights change or memory is counted.
    func letGo() throws {
        for place in places { try place.letGo() }
    }

    fileprivate func open(_ number: Int, _ pass: WeightPlace.Pass) throws {
        // What a pass that came to no backward pass has left may be of other weights.
        if case .forward = pass, number == first { try letGo() }
        try handIn(number)
        let next: Int
        if case .backward = pass { next = number - 1 } else { next = number + 1 }
        // The first place has no part in a backward pass.
        if next > 0, places.indices.contains(next) { try handIn(next) }
        try places[number].arrive()
    }

    fileprivate func close(_ number: Int, _ pass: WeightPlace.Pass) throws {
        if case .forward(recording: true) = pass, number == places.count - 2 { return }
        try places[number].letGo()
    }

    private func handIn(_ number: Int) throws {
        let place = places[number]
        guard case .away = place.state, !place.parameters.isEmpty else { return }
        let arrays = try place.parameters.map { try PartedArray(for: $0) }
        let owned = place.parameters.compactMap(\.part)
        let rank = ranks.rank
        let work = try ranks.aside { communicator in
            for (array, own) in zip(arrays, owned) { try own.array.copyBytes(to: array.part(of: rank)) }
            try communicator.gather(arrays)
        }
        place.state = .coming(arrays.map(\.array), work)
    }

    /// The weights of a place.
    private final class Place {
        enum State {
            case away
            case coming([NDArray], any SideWork)
            case here
        }

        let parameters: [Parameter]
        var state = State.away

        init(_ parameters: [Parameter]) { self.parameters = parameters }

        func arrive() throws {
            guard case .coming(let arrays, let work) = state else { return }
            try work.join()
            for (parameter, array) in zip(parameters, arrays) {
                parameter.take(array.reshaped(parameter.part?.shape ?? parameter.shape))
            }
            state = .here
        }

        func letGo() throws {
            // Memory is not given to others while it is being written.
            if case .coming(_, let work) = state { try work.join() }
            if case .here = state { for parameter in parameters { parameter.letGo() } }
            state = .away
        }
    }
}

/// The weights of one place.
private final class Opening: GatheredWeights {
    private let exchange: WeightExchange
    private let number: Int

    init(exchange: WeightExchange, number: Int) { (self.exchange, self.number) = (exchange, number) }

    func open(_ pass: WeightPlace.Pass) throws { try exchange.open(number, pass) }
    func close(_ pass: WeightPlace.Pass) throws { try exchange.close(number, pass) }
}

extension PartedArray {
    /// Memory for all elements of a parameter.
    fileprivate init(for parameter: Parameter) throws {
        guard let part = parameter.part else { preconditionFailure("what is cut is gathered") }
        self.init(
            try NDArray(empty: part.shape, dtype: part.array.dtype, device: part.array.device),
            parts: part.parts)
    }
}
