package import TileGPU

/// A kernel as PTX text.
package struct PTXModule: Sendable {
    package let text: String
    /// The name of its one entry.
    package let entry: String
    /// What assembles it: `sm_90`, or `sm_90a` with what no later architecture has.
    package let architecture: String

    /// Prints a thread's program for an architecture.
    ///
    /// - Cost: linear in the number of instructions.
    package init(_ function: ThreadFunction, target: Target) {
        entry = function.name
        var printer = Printer(function, target)
        architecture = printer.architecture
        text = printer.module()
    }
}

/// Writes PTX line by line. Instructions are tables in `Printer+Instructions.swift`; this file is the frame
/// around them.
struct Printer {
    let function: ThreadFunction
    let target: Target
    var lines: [String] = []
    /// Names for registers that only one instruction's expansion needs.
    var temporaries: [String: Int] = [:]
    private var labels = 0
    /// Where the launch's parameters have the copy engine's maps.
    var mapOffsets: [Int] { parameters.maps }
    private let parameters: ParameterLayout

    init(_ function: ThreadFunction, _ target: Target) {
        self.function = function
        self.target = target
        parameters = ParameterLayout(
            views: function.views, scalars: function.scalars, maps: function.maps.count)
    }

    mutating func module() -> String {
        write(function.body)
        let threads = function.schedule.blockThreads
        var head = [
            ".version \(target.ptxVersion)", ".target \(architecture)", ".address_size 64",
            "",
        ]
        if function.sharedBytes > 0 {
            head.append(".extern .shared .align \(isProduct ? 1024 : 16) .b8 shared_memory[];")
        }
        head += [
            ".visible .entry \(function.name)(",
            "    .param .align \(isProduct ? 64 : 8) .b8 arguments[\(parameters.byteCount)]", ")",
            ".maxntid \(threads), 1, 1",
        ]
        let blocks = function.schedule.minimumBlocks
        if blocks > 0 || target.spillsForOccupancy { head.append(".minnctapersm \(max(1, blocks))") }
        head.append("{")
        if function.localBytes > 0 {
            head.append("    .local .align 16 .b8 local_memory[\(function.localBytes)];")
        }
        let text =
            head + declarations() + order() + spaceBases() + policies() + lines + ["    ret;", "}", ""]
        return text.joined(separator: "\n")
    }

    var architecture: String { "\(target)\(isProduct ? "a" : "")" }

    /// Whether it uses what only this architecture has, and none after it.
    private var isProduct: Bool { function.schedule.product != nil }

    private func declarations() -> [String] {
        let own: [(RegisterType, String)] = [
            (.f32, "f32"), (.b32, "b32"), (.b64, "b64"), (.predicate, "pred"),
        ]
        let counted = own.map { type, name in
            "    .reg .\(name) \(prefix(type))<\(function.registers.count)>;"
        }
        return counted
            + temporaries.sorted { $0.key < $1.key }.map { "    .reg .\($0.key) %t_\($0.key)_<\($0.value)>;" }
    }

    /// The kernel before in the stream may still run: its end is awaited before anything is read or written. The next
    /// one may take its place on the GPU as soon as all of this one's blocks have theirs.
    private func order() -> [String] {
        target.hasEarlyLaunch ? ["    griddepcontrol.wait;", "    griddepcontrol.launch_dependents;"] : []
    }

    /// The 64-bit addresses at which the block's and the thread's own memory start.
    private func spaceBases() -> [String] {
        var lines: [String] = []
        if function.sharedBytes > 0 {
            lines += ["    .reg .b64 %shared_base;", "    mov.u64 %shared_base, shared_memory;"]
        }
        if function.localBytes > 0 {
            lines += ["    .reg .b64 %local_base;", "    mov.u64 %local_base, local_memory;"]
        }
        return lines
    }

    /// What accesses that end in `%keep` and `%drop` ask of the second-level cache.
    private func policies() -> [String] {
        [("%keep", "evict_last"), ("%drop", "evict_first")].flatMap { name, priority in
            lines.contains { $0.hasSuffix(", \(name);") }
                ? [
                    "    .reg .b64 \(name);",
                    "    createpolicy.fractional.L2::\(priority).b64 \(name), 1.0;",
                ] : []
        }
    }

    mutating func nextLabel(_ word: String) -> String {
        labels += 1
        return "\(word)_\(labels)"
    }

    mutating func write(_ statements: [Statement]) {
        for statement in statements {
            switch statement {
            case .instruction(let instruction): write(instruction)
            case .loop(let counter, let from, let to, let step, let body):
                labels += 1
                let (top, end) = ("loop_\(labels)", "end_\(labels)")
                let skips = temporary("pred")
                emit("mov.b64 \(name(counter)), \(text(from, .s64));")
                emit("setp.ge.s64 \(skips), \(name(counter)), \(text(to, .s64));")
                emit("@\(skips) bra \(end);")
                lines.append("\(top):")
                // The schedule has decided how much is in flight in an iteration; more copies only take longer to compile.
                emit(".pragma \"nounroll\";")
                write(body)
                emit("add.s64 \(name(counter)), \(name(counter)), \(text(step, .s64));")
                emit("setp.lt.s64 \(skips), \(name(counter)), \(text(to, .s64));")
                emit("@\(skips) bra \(top);")
                lines.append("\(end):")
            case .conditional(let predicate, let then, let otherwise):
                labels += 1
                let (other, end) = ("else_\(labels)", "end_\(labels)")
                emit("@!\(name(predicate)) bra \(other);")
                write(then)
                if !otherwise.isEmpty { emit("bra \(end);") }
                lines.append("\(other):")
                write(otherwise)
                if !otherwise.isEmpty { lines.append("\(end):") }
            case .selected(let predicate, let body):
                labels += 1
                let end = "end_\(labels)"
                emit("@!\(name(predicate)) bra \(end);")
                write(body)
                lines.append("\(end):")
            case .roles(let roles): write(roles)
            case .programs(let body):
                write(body)
                // The threads of a warp go on together.
                emit("bar.warp.sync 0xFFFFFFFF;")
            }
        }
    }

    // MARK: Words

    mutating func emit(_ text: String, guardedBy guarding: Register? = nil) {
        lines.append("    " + (guarding.map { "@\(name($0)) " } ?? "") + text)
    }

    mutating func temporary(_ type: String) -> String {
        let number = temporaries[type, default: 0]
        temporaries[type] = number + 1
        return "%t_\(type)_\(number)"
    }

    private func prefix(_ type: RegisterType) -> String {
        switch type {
        case .f32: "%f"
        case .b32: "%r"
        case .b64: "%d"
        case .predicate: "%p"
        }
    }

    func name(_ register: Register) -> String { prefix(function.type(register)) + "\(register.number)" }

    func text(_ source: Source, _ type: NumberType) -> String {
        switch source {
        case .register(let register): return name(register)
        case .bits(let bits):
            switch type {
            case .f32:
                let digits = String(UInt32(truncatingIfNeeded: bits), radix: 16, uppercase: true)
                return "0f" + String(repeating: "0", count: 8 - digits.count) + digits
            case .s32: return "\(Int32(truncatingIfNeeded: Int64(bitPattern: bits)))"
            case .u32: return "\(UInt32(truncatingIfNeeded: bits))"
            case .s64: return "\(Int64(bitPattern: bits))"
            case .predicate: return bits == 0 ? "0" : "1"
            }
        }
    }
}
