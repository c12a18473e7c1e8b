extension Program {
    /// Runs a body for each i in from, from + step, ... below `to`.
    public func loop(
        from: Tile<Int>, to: Tile<Int>, step: Tile<Int>? = nil,
        file: StaticString = #fileID, line: UInt = #line, _ body: (Tile<Int>) -> Void
    ) {
        let location = SourceLocation(file, line)
        record(from, to, step, [], location) { i, _ in
            body(i)
            return []
        }
    }

    /// Runs a body for each i in from, from + step, ... below `to`, handing values from one turn to the
    /// next: the body gets them and returns the next ones; the results are the last.
    public func loop<each A: AnyTile>(
        from: Tile<Int>, to: Tile<Int>, step: Tile<Int>? = nil, carrying first: repeat each A,
        file: StaticString = #fileID, line: UInt = #line,
        _ body: (Tile<Int>, repeat each A) -> (repeat each A)
    ) -> (repeat each A) {
        var tokens: [TileToken] = []
        repeat tokens.append((each first).token)
        let results = record(from, to, step, tokens, SourceLocation(file, line)) { i, carried in
            var carried = carried[...]
            let next = body(i, repeat (each A)(token: carried.removeFirst()))
            var tokens: [TileToken] = []
            repeat tokens.append((each next).token)
            return tokens
        }
        var last = results[...]
        return (repeat (each A)(token: last.removeFirst()))
    }

    /// As the loop above for any number of tiles of one element, such as the entries of a small matrix.
    public func loop<E: TileElement>(
        from: Tile<Int>, to: Tile<Int>, carryingAll first: [Tile<E>],
        file: StaticString = #fileID, line: UInt = #line,
        _ body: (Tile<Int>, [Tile<E>]) -> [Tile<E>]
    ) -> [Tile<E>] {
        record(from, to, nil, first.map(\.token), SourceLocation(file, line)) { i, carried in
            body(i, carried.map(Tile<E>.init(token:))).map(\.token)
        }
        .map(Tile<E>.init(token:))
    }

    /// Runs a body only where a scalar condition holds.
    public func when(
        _ condition: Tile<Bool>, file: StaticString = #fileID, line: UInt = #line, _ body: () -> Void
    ) {
        let location = SourceLocation(file, line)
        requireScalar(condition.id, "a condition", location)
        let chosen = region([]) { _ in
            body()
            return []
        }
        emit(.conditional, [condition.id], [], regions: [chosen, Region()], at: location)
    }

    /// One of two values, computing only the chosen one. `select` is cheaper where both are at hand.
    public func choose<E: TileElement>(
        _ condition: Tile<Bool>, file: StaticString = #fileID, line: UInt = #line,
        then: () -> Tile<E>, otherwise: () -> Tile<E>
    ) -> Tile<E> {
        let location = SourceLocation(file, line)
        requireScalar(condition.id, "a condition", location)
        let first = region([]) { _ in [then().id] }
        let second = region([]) { _ in [otherwise().id] }
        let (a, b) = (function.type(first.yields[0]), function.type(second.yields[0]))
        if a != b {
            report(
                location,
                "both ways of a choice must have one length; found \(describe(first.yields[0])) and "
                    + describe(second.yields[0]), "Splat the scalar with `full`")
        }
        return Tile(self, emit(.conditional, [condition.id], [a], regions: [first, second], at: location)[0])
    }

    /// Makes a launch do nothing where the one element of a view is 0 on the device, which the host need not know.
    public func runs(
        onlyIf view: View<Float>, file: StaticString = #fileID, line: UInt = #line
    ) {
        let parameter = view.parameter
        if parameter.dtype != .f32 || parameter.rank != 1 || parameter.access != .input {
            report(
                SourceLocation(file, line),
                "a condition in view \(parameter.name), an \(parameter.access.rawValue) of "
                    + "\(parameter.dtype.rawValue) and rank \(parameter.rank)", "Give an input, f32 of rank 1"
            )
        }
        if function.condition != nil {
            report(SourceLocation(file, line), "a second condition", "Give one, such as a sum of both")
        }
        function.condition = view.number
    }

    /// Makes programs do nothing whose number is not below the one element of a view on the device, which the host need
    /// not know. A launch has as many programs as there may be at most.
    public func runs(below view: View<Int>, file: StaticString = #fileID, line: UInt = #line) {
        let parameter = view.parameter
        if parameter.dtype != .i32 || parameter.rank != 1 || parameter.access != .input {
            report(
                SourceLocation(file, line),
                "a limit in view \(parameter.name), an \(parameter.access.rawValue) of "
                    + "\(parameter.dtype.rawValue) and rank \(parameter.rank)", "Give an input, i32 of rank 1"
            )
        }
        if function.limit != nil {
            report(SourceLocation(file, line), "a second limit", "Give one, such as the smaller of both")
        }
        function.limit = view.number
    }

    /// Makes the launch fail where a scalar condition does not hold: on the CPU the call throws, on a GPU
    /// a flag is set that the next call throws. `{}` in the message shows `value`.
    public func require(
        _ condition: Tile<Bool>, _ message: String, _ value: Tile<Int>,
        file: StaticString = #fileID, line: UInt = #line
    ) {
        let location = SourceLocation(file, line)
        requireScalar(condition.id, "a requirement", location)
        function.messages.append(message)
        emit(
            .check(message: function.messages.count - 1), [condition.id, value.id], [], at: location)
    }

    // MARK: Recording

    @discardableResult
    private func record(
        _ from: Tile<Int>, _ to: Tile<Int>, _ step: Tile<Int>?, _ initial: [TileToken],
        _ location: SourceLocation, _ body: (Tile<Int>, [TileToken]) -> [TileToken]
    ) -> [TileToken] {
        let types = initial.map { function.type($0.id) }
        let recorded = region([.scalar(.index)] + types) { arguments in
            body(Tile(self, arguments[0]), arguments.dropFirst().map { TileToken(program: self, id: $0) })
                .map(\.id)
        }
        for (value, type) in zip(recorded.yields, types) where function.type(value) != type {
            report(
                location, "a value carried by a loop changes its length to \(describe(value))",
                "Start it with `full` over the same range")
        }
        let one = step?.id ?? constant(.index(1))
        let operands = [from.id, to.id, one] + initial.map(\.id)
        return emit(.loop, operands, types, regions: [recorded], at: location)
            .map { TileToken(program: self, id: $0) }
    }

    private func region(_ arguments: [ValueType], _ body: ([ValueID]) -> [ValueID]) -> Region {
        let values = arguments.map { makeValue($0, at: start) }
        open.append(Region(arguments: values))
        let yields = body(values)
        var region = open.removeLast()
        region.yields = yields
        return region
    }

    private func requireScalar(_ value: ValueID, _ what: String, _ location: SourceLocation) {
        if function.type(value).isTile {
            report(
                location, "\(what) must be a scalar; found \(describe(value))",
                "Use `select`, or reduce the tile first")
        }
    }
}
