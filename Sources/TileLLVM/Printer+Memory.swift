import Tile
import TileGPU

// Loads widen and stores narrow. Elements of 16 bits travel in pairs.
extension Printer {
    /// Loads under one guard.
    mutating func writeLoads(_ group: [Instruction]) {
        let addresses = group.map { text($0.sources[0], .s64) }
        let words = guarded(by: group[0].guardedBy) { printer in
            zip(group, addresses).flatMap { printer.load($0, at: $1) }
        }
        var next = words.makeIterator()
        for instruction in group {
            guard case .load(_, let dtype, _) = instruction.kind else { continue }
            if dtype.byteCount == 1 {
                for result in instruction.results {
                    let byte = next.next() ?? "undef"
                    define(result, dtype == .u8 ? byte : widenedByte(byte, dtype))
                }
            } else {
                unpack(next.next() ?? "undef", dtype, into: instruction.results)
            }
        }
    }

    /// What an access reads: one value, or one for each byte.
    private mutating func load(_ instruction: Instruction, at address: String) -> [(
        text: String, type: String
    )] {
        guard case .load(let space, let dtype, let offset) = instruction.kind else { return [] }
        let count = instruction.results.count
        if dtype.byteCount == 1 {
            return (0..<count).map { byte in
                let place = pointer(address, space, offset + byte)
                return (value("zext i8 \(value("load i8, \(place), align 1")) to i32"), "i32")
            }
        }
        let type = Self.accessed(dtype, count)
        let place = pointer(address, space, offset)
        return [(value("load \(type), \(place), align \(count * dtype.byteCount)"), type)]
    }

    /// The type that as many elements are moved as.
    private static func accessed(_ dtype: DType, _ count: Int) -> String {
        let (element, number): (String, Int)
        switch dtype {
        case .f32: (element, number) = ("float", count)
        case .i32, .u32, .u8, .e4m3, .e5m2: (element, number) = ("i32", count)
        case .i64: (element, number) = ("i64", count)
        case .bf16, .f16: (element, number) = count == 1 ? ("i16", 1) : ("i32", count / 2)
        }
        return number == 1 ? element : "<\(number) x \(element)>"
    }

    private mutating func unpack(_ loaded: String, _ dtype: DType, into results: [Register]) {
        let is16Bit = dtype == .bf16 || dtype == .f16
        if is16Bit && results.count == 1 {
            let word = value("zext i16 \(loaded) to i32")
            return define(results[0], widened(word, dtype, isHigh: false))
        }
        let words = is16Bit ? results.count / 2 : results.count
        let type = Self.accessed(dtype, results.count)
        for number in 0..<words {
            let word = words == 1 ? loaded : value("extractelement \(type) \(loaded), i32 \(number)")
            guard is16Bit else {
                define(results[number], word)
                continue
            }
            define(results[2 * number], widened(word, dtype, isHigh: false))
            define(results[2 * number + 1], widened(word, dtype, isHigh: true))
        }
    }

    /// Stores under one guard.
    mutating func writeStores(_ group: [Instruction]) {
        _ = guarded(by: group[0].guardedBy) { printer in
            for instruction in group { printer.store(instruction) }
            return []
        }
    }

    private mutating func store(_ instruction: Instruction) {
        guard case .store(let space, let dtype, let offset) = instruction.kind else { return }
        let address = text(instruction.sources[0], .s64)
        let elements = Array(instruction.sources.dropFirst())
        if dtype.byteCount == 1 {
            for (byte, element) in elements.enumerated() {
                let word = dtype == .u8 ? text(element, .s32) : narrowedByte(text(element, .f32), dtype)
                let narrow = value("trunc i32 \(word) to i8")
                emit("store i8 \(narrow), \(pointer(address, space, offset + byte)), align 1")
            }
            return
        }
        let type = Self.accessed(dtype, elements.count)
        let packed = packed(elements, dtype, type)
        let place = pointer(address, space, offset)
        emit("store \(type) \(packed), \(place), align \(elements.count * dtype.byteCount)")
    }

    private mutating func packed(_ elements: [Source], _ dtype: DType, _ type: String) -> String {
        let words: [String]
        switch dtype {
        case .f32: words = elements.map { text($0, .f32) }
        case .i64: words = elements.map { text($0, .s64) }
        case .i32, .u32, .u8, .e4m3, .e5m2: words = elements.map { text($0, .s32) }
        case .bf16, .f16:
            let floats = elements.map { text($0, .f32) }
            if floats.count == 1 { return value("trunc i32 \(narrowed(floats[0], dtype)) to i16") }
            words = stride(from: 0, to: floats.count, by: 2).map {
                narrowedPair(floats[$0], floats[$0 + 1], dtype)
            }
        }
        if words.count == 1 { return words[0] }
        let element = dtype == .f32 ? "float" : dtype == .i64 ? "i64" : "i32"
        return words.enumerated().reduce("undef") { vector, word in
            value("insertelement \(type) \(vector), \(element) \(word.element), i32 \(word.offset)")
        }
    }

    /// A thread goes through 16 bytes itself, as nothing copies them meanwhile.
    mutating func writeCopy(_ from: Int, _ to: Int, _ instruction: Instruction) {
        let (target, source) = (text(instruction.sources[0], .s64), text(instruction.sources[1], .s64))
        _ = guarded(by: instruction.guardedBy) { printer in
            let read = printer.pointer(source, .global, from)
            let bytes = printer.value("load <4 x i32>, \(read), align 16")
            printer.emit("store <4 x i32> \(bytes), \(printer.pointer(target, .shared, to)), align 16")
            return []
        }
    }

    /// A pointer with its type. Addresses in shared and local memory count from its start.
    mutating func pointer(_ address: String, _ space: Space, _ offset: Int) -> String {
        let base: String
        switch space {
        case .global, .cluster:
            base = value("inttoptr i64 \(address) to ptr addrspace(1)")
            if offset == 0 { return "ptr addrspace(1) \(base)" }
            return "ptr addrspace(1) "
                + value("getelementptr i8, ptr addrspace(1) \(base), i64 \(offset)")
        case .shared, .local:
            let number = space == .shared ? 3 : 5
            let start = space == .shared ? shared : "%local"
            let narrow = value("trunc i64 \(address) to i32")
            let place = value("getelementptr i8, ptr addrspace(\(number)) \(start), i32 \(narrow)")
            if offset == 0 { return "ptr addrspace(\(number)) \(place)" }
            return "ptr addrspace(\(number)) "
                + value("getelementptr i8, ptr addrspace(\(number)) \(place), i32 \(offset)")
        }
    }
}
