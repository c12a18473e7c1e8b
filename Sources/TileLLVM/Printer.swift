import Tile
import TileGPU

/// Writes a kernel's LLVM IR line by line. This file is the frame and the control flow around the instructions.
struct Printer {
    let function: ThreadFunction
    let target: AMDTarget
    let entry: String
    var metadata: Metadata
    /// Functions of LLVM's that were used.
    private(set) var declarations: Set<String> = []
    private var lines: [String] = []
    private var temporaries = 0
    private var labels = 0
    /// The label of the block being written, which values that depend on the path name.
    private var block = "entry"
    private let use: RegisterUse
    /// By register: what stands for a value.
    private var values: [Int: String] = [:]

    init(_ function: ThreadFunction, _ target: AMDTarget, entry: String, metadata: Metadata) {
        self.function = function
        self.target = target
        self.entry = entry
        self.metadata = metadata
        use = RegisterUse(function)
    }

    /// - Throws: `LoweringError` where the program has a step that the architecture lacks.
    mutating func definition() throws -> String {
        try write(function.body)
        let parameters = ParameterLayout(views: function.views, scalars: function.scalars)
        let threads = function.schedule.blockThreads
        var head: [String] = []
        if function.sharedBytes > 0 {
            head.append(
                "\(shared) = internal addrspace(3) global [\(function.sharedBytes) x i8] undef, align 16")
        }
        head += [
            "define amdgpu_kernel void @\(entry)(ptr addrspace(4) byref([\(parameters.byteCount) x i8]) "
                + "align 16 %arguments) "
                + "\"amdgpu-flat-work-group-size\"=\"\(threads),\(threads)\" "
                + "\"uniform-work-group-size\"=\"true\" \"target-cpu\"=\"\(target)\" {",
            "entry:",
        ]
        if function.localBytes > 0 {
            head.append("  %local = alloca [\(function.localBytes) x i8], align 16, addrspace(5)")
        }
        head += use.variables.sorted().map { number in
            let type = Self.type(function.registers[number])
            return "  %v\(number) = alloca \(type), addrspace(5)"
        }
        return (head + lines + ["  ret void", "}", ""]).joined(separator: "\n")
    }

    /// The kernel's shared memory.
    var shared: String { "@\(entry).shared" }

    // MARK: Control

    mutating func write(_ statements: [Statement]) throws {
        var rest = statements[...]
        while let statement = rest.popFirst() {
            switch statement {
            case .instruction(let first):
                var group = [first]
                // Accesses under one guard share its branch.
                while case .instruction(let next)? = rest.first, next.sharesBranch(with: first) {
                    group.append(next)
                    rest = rest.dropFirst()
                }
                try write(group)
            case .loop(let counter, let from, let to, let step, let body):
                try writeLoop(counter, from, to, step, body)
            case .conditional(let predicate, let then, let otherwise):
                try writeConditional(predicate, then, otherwise)
            case .selected(let predicate, let body): try writeConditional(predicate, body, [])
            case .programs(let body): try write(body)
            case .roles: throw missing("threads of a block that work beside each other")
            }
        }
    }

    private mutating func writeLoop(
        _ counter: Register, _ from: Source, _ to: Source, _ step: Source, _ body: [Statement]
    ) throws {
        let (top, end) = (label("loop"), label("end"))
        let first = text(from, .s64)
        define(counter, first)
        let begins = value("icmp slt i64 \(first), \(text(to, .s64))")
        emit("br i1 \(begins), label %\(top), label %\(end)")
        begin(top)
        try write(body)
        let next = value("add i64 \(text(.register(counter), .s64)), \(text(step, .s64))")
        define(counter, next)
        let goesOn = value("icmp slt i64 \(next), \(text(to, .s64))")
        emit("br i1 \(goesOn), label %\(top), label %\(end), \(metadata.loop())")
        begin(end)
    }

    private mutating func writeConditional(
        _ predicate: Register, _ then: [Statement], _ otherwise: [Statement]
    ) throws {
        let (yes, no, end) = (label("then"), label("else"), label("end"))
        emit(
            "br i1 \(text(.register(predicate), .predicate)), label %\(yes), "
                + "label %\(otherwise.isEmpty ? end : no)")
        begin(yes)
        try write(then)
        emit("br label %\(end)")
        if !otherwise.isEmpty {
            begin(no)
            try write(otherwise)
            emit("br label %\(end)")
        }
        begin(end)
    }

    /// Writes what runs only where a guard is set; always where there is none.
    ///
    /// - Parameter body: returns values, of a type each.
    /// - Returns: for each what it is behind the guard: zeros where the guard is off.
    mutating func guarded(
        by guarding: Register?, _ body: (inout Printer) -> [(text: String, type: String)]
    ) -> [String] {
        guard let guarding else { return body(&self).map(\.text) }
        let (runs, end, before) = (label("on"), label("off"), block)
        emit("br i1 \(text(.register(guarding), .predicate)), label %\(runs), label %\(end)")
        begin(runs)
        let found = body(&self)
        emit("br label %\(end)")
        let last = block
        begin(end)
        return found.map { found in
            value("phi \(found.type) [ \(found.text), %\(last) ], [ zeroinitializer, %\(before) ]")
        }
    }

    func missing(_ what: String) -> LoweringError {
        LoweringError(description: "kernel \(function.name): \(target) has no \(what)")
    }

    // MARK: Words

    mutating func emit(_ text: String) { lines.append("  " + text) }

    private mutating func label(_ word: String) -> String {
        labels += 1
        return "\(word)\(labels)"
    }

    private mutating func begin(_ label: String) {
        lines.append("\(label):")
        block = label
    }

    /// A new value.
    mutating func value(_ expression: String) -> String {
        temporaries += 1
        emit("%t\(temporaries) = \(expression)")
        return "%t\(temporaries)"
    }

    /// What a function of LLVM's gives.
    ///
    /// - Parameter arguments: each with its type.
    mutating func call(_ name: String, _ type: String, _ arguments: [(type: String, text: String)]) -> String
    {
        declarations.insert("declare \(type) @\(name)(\(arguments.map(\.type).joined(separator: ", ")))")
        let list = arguments.map { "\($0.type) \($0.text)" }.joined(separator: ", ")
        let text = "call \(type) @\(name)(\(list))"
        if type != "void" { return value(text) }
        emit(text)
        return ""
    }

    mutating func call(_ name: String, _ floats: String...) -> String {
        call(name, "float", floats.map { ("float", $0) })
    }

    /// Gives a register its value.
    mutating func define(_ register: Register, _ text: String) {
        guard use.variables.contains(register.number) else { return values[register.number] = text }
        emit("store \(Self.type(function.type(register))) \(text), ptr addrspace(5) %v\(register.number)")
    }

    mutating func text(_ source: Source, _ type: NumberType) -> String {
        switch source {
        case .bits(let bits): return Self.constant(bits, type)
        case .register(let register):
            guard use.variables.contains(register.number) else { return values[register.number] ?? "undef" }
            let type = Self.type(function.type(register))
            return value("load \(type), ptr addrspace(5) %v\(register.number)")
        }
    }

    static func constant(_ bits: UInt64, _ type: NumberType) -> String {
        switch type {
        // LLVM writes a float with the digits of a double.
        case .f32:
            let double = Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))).bitPattern
            let digits = String(double, radix: 16, uppercase: true)
            return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
        case .s32, .u32: return "\(Int32(truncatingIfNeeded: Int64(bitPattern: bits)))"
        case .s64: return "\(Int64(bitPattern: bits))"
        case .predicate: return bits & 1 == 0 ? "false" : "true"
        }
    }

    static func type(_ register: RegisterType) -> String {
        switch register {
        case .f32: "float"
        case .b32: "i32"
        case .b64: "i64"
        case .predicate: "i1"
        }
    }

    static func type(_ number: NumberType) -> String {
        switch number {
        case .f32: "float"
        case .s32, .u32: "i32"
        case .s64: "i64"
        case .predicate: "i1"
        }
    }
}

extension Instruction {
    /// Whether it accesses global memory under the same guard as another one, both to load or both to store.
    fileprivate func sharesBranch(with other: Instruction) -> Bool {
        guard let guardedBy, guardedBy == other.guardedBy else { return false }
        switch (kind, other.kind) {
        case (.load(.global, _, _), .load(.global, _, _)), (.store(.global, _, _), .store(.global, _, _)):
            return true
        default: return false
        }
    }
}
