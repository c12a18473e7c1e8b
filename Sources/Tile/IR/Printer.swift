extension TileFunction: CustomStringConvertible {
    /// The function as text, one operation a line: what `liger kernels NAME` shows.
    package var description: String {
        var lines: [String] = []
        let views = views.map { "\($0.access.rawValue) \($0.name): \($0.dtype.rawValue)[\($0.rank)]" }
        let scalars = scalars.map { "\($0.name): \($0.element.rawValue)" }
        lines.append("kernel \(name)(\((views + scalars).joined(separator: ", "))) {")
        if let condition { lines.append("    only if \(self.views[condition].name)[0] is not 0") }
        append(body, indent: "    ", to: &lines)
        lines.append("}")
        return lines.joined(separator: "\n")
    }

    private func append(_ region: Region, indent: String, to lines: inout [String]) {
        for operation in region.operations {
            lines.append(indent + line(operation))
            for (i, nested) in operation.regions.enumerated() {
                let arguments = nested.arguments.map { text($0) }.joined(separator: ", ")
                if i > 0 { lines.append(indent + "} else {") }
                if !arguments.isEmpty { lines.append(indent + "  with \(arguments)") }
                append(nested, indent: indent + "    ", to: &lines)
            }
            if !operation.regions.isEmpty { lines.append(indent + "}") }
        }
        if !region.yields.isEmpty {
            lines.append(indent + "yield " + region.yields.map { "%\($0.number)" }.joined(separator: ", "))
        }
    }

    /// One operation, without what its regions hold.
    package func line(_ operation: Operation) -> String {
        let results = operation.results.map { text($0) }.joined(separator: ", ")
        let operands = operation.operands.map { "%\($0.number)" }
        let tail = operation.regions.isEmpty ? "" : " {"
        return (results.isEmpty ? "" : results + " = ") + text(operation, operands) + tail
    }

    private func text(_ operation: Operation, _ operands: [String]) -> String {
        let list = operands.joined(separator: ", ")
        switch operation.kind {
        case .constant(let constant):
            return "constant \(text(constant))"
        case .programIndex: return "program"
        case .columnBlock: return "column block"
        case .argument(let position): return "argument \(scalars[position].name)"
        case .size(let view, let dimension): return "size \(views[view].name), \(dimension)"
        case .load(let view, let axis): return "load \(position(view, axis, operands))"
        case .gather(let view, let axis): return "gather \(position(view, axis, operands))"
        case .store(let view, let axis):
            return "store \(position(view, axis, operands.dropLast())), \(operands[operands.count - 1])"
        case .unary(let unary): return "\(unary.rawValue) \(list)"
        case .binary(let binary): return "\(binary.rawValue) \(list)"
        case .compare(let comparison): return "compare.\(comparison.rawValue) \(list)"
        case .convert(let element): return "convert.\(element.rawValue) \(list)"
        case .reinterpret(let element): return "reinterpret.\(element.rawValue) \(list)"
        case .round(let dtype): return "round.\(dtype.rawValue) \(list)"
        case .product(let product):
            let part = product.isPart ? operands.suffix(3) : []
            let (a, b) = (part.first, part.dropFirst().first), count = part.last
            return "product \(line(product.a, product.contractedA, operands[0], a, count)), "
                + line(product.b, product.contractedB, operands[1] + "...", b, count)
        case .reduce(let reduction): return "reduce.\(reduction.rawValue) \(list)"
        case .conditional: return "if \(list)"
        case .check(let message): return "check \(list) \"\(messages[message])\""
        case .iota, .splat, .select, .multiplyAdd, .loop: return "\(operation.kind) \(list)"
        }
    }

    /// A line of a matrix, `x[%3, :]`, or a part of it, `x[%3, %4 +: %5]`.
    private func line(
        _ view: Int, _ contracted: Int, _ position: String, _ from: String?, _ count: String?
    ) -> String {
        let part = from.flatMap { from in count.map { "\(from) +: \($0)" } } ?? ":"
        return "\(views[view].name)[\(contracted == 1 ? "\(position), \(part)" : "\(part), \(position)")]"
    }

    private func position(_ view: Int, _ axis: Int?, _ indices: some Collection<String>) -> String {
        let marked = indices.enumerated().map { $0.offset == axis ? $0.element + "..." : $0.element }
        return "\(views[view].name)[\(marked.joined(separator: ", "))]"
    }

    private func text(_ value: ValueID) -> String {
        let type = type(value)
        guard let extent = type.extent.map({ extents[$0.number] }) else {
            return "%\(value.number): \(type.element.rawValue)"
        }
        let length = extent.count.map { "%\($0.number) <= \(extent.capacity)" } ?? "\(extent.capacity)"
        return "%\(value.number): \(type.element.rawValue)[\(length)]"
    }

    private func text(_ constant: Constant) -> String {
        switch constant {
        case .f32(let bits): "\(Float(bitPattern: bits))"
        case .i32(let value): "\(value)"
        case .u32(let value): "\(value)"
        case .index(let value): "\(value)"
        case .mask(let value): "\(value)"
        }
    }
}
