public import CLigerABI
import LigerRuntime

// The functions of liger.h, which says what they do.

private func object(_ call: OpaquePointer?) throws -> Call {
    guard let call else { throw RuntimeError("the call is NULL. Prepare one") }
    return Unmanaged<Call>.fromOpaque(UnsafeRawPointer(call)).takeUnretainedValue()
}

/// A GPU by its number, AMD's behind LIGER_AMD; the processor for -1.
private func device(_ number: Int32) throws -> Device {
    if number == -1 {
        // What the environment asks of the processor is honoured or refused, as by the command line.
        try ThreadPool.checkEnvironment()
        return .cpu
    }
    let isAMD = number >= LIGER_AMD
    let gpus: [Device]
    do {
        gpus = try isAMD ? Device.hipDevices() : Device.cudaDevices()
    } catch {
        throw ABIError(status: LIGER_NO_DEVICE, description: "\(error)")
    }
    let ordinal = Int(isAMD ? number - LIGER_AMD : number)
    guard gpus.indices.contains(ordinal) else {
        throw ABIError(
            status: LIGER_NO_DEVICE,
            description:
                "there is no GPU \(ordinal): the driver lists \(gpus.count). Give a number below that, or "
                + "-1 for the processor")
    }
    return gpus[ordinal]
}

private func list<T>(_ elements: UnsafePointer<T>?, _ count: Int32) throws -> [T] {
    guard count >= 0, elements != nil || count == 0 else {
        throw RuntimeError("a list of \(count) elements at \(elements == nil ? "NULL" : "an address")")
    }
    return Array(UnsafeBufferPointer(start: elements, count: Int(count)))
}

@c @implementation
public func liger_prepare(
    _ operation: UnsafePointer<CChar>?, _ device: Int32, _ inputs: UnsafePointer<liger_array>?,
    _ input_count: Int32, _ options: UnsafePointer<liger_option>?, _ option_count: Int32,
    _ call: UnsafeMutablePointer<OpaquePointer?>?
) -> liger_status {
    reporting {
        guard let operation, let call else { throw RuntimeError("operation and call may not be NULL") }
        let name = String(cString: operation)
        guard let found = Operation.byName[name] else {
            throw ABIError(
                status: LIGER_UNKNOWN_NAME,
                description: "there is no operation '\(name)'. liger_signatures() lists them")
        }
        let (inputs, options) = (try list(inputs, input_count), try list(options, option_count))
        guard inputs.allSatisfy({ $0.name != nil }), options.allSatisfy({ $0.name != nil }) else {
            throw RuntimeError("\(name): an input or an option has no name")
        }
        let made = try Call(found, device: LigerABI.device(device), inputs: inputs, options: options)
        call.pointee = OpaquePointer(Unmanaged.passRetained(made).toOpaque())
    }
}

@c @implementation
public func liger_call_output_count(_ call: OpaquePointer?) -> Int32 {
    (try? object(call)).map { Int32($0.outputNames.count) } ?? 0
}

@c @implementation
public func liger_call_output(
    _ call: OpaquePointer?, _ number: Int32, _ output: UnsafeMutablePointer<liger_array>?
) -> liger_status {
    reporting {
        let call = try object(call)
        guard let output, call.outputNames.indices.contains(Int(number)) else {
            throw RuntimeError("the call has \(call.outputNames.count) outputs; found number \(number)")
        }
        output.pointee = liger_array(
            call.recorded.outputs[Int(number)], name: call.outputNames[Int(number)])
    }
}

@c @implementation
public func liger_call_workspace(_ call: OpaquePointer?) -> Int64 {
    (try? object(call)).map { Int64($0.recorded.workspaceBytes) } ?? 0
}

@c @implementation
public func liger_run(
    _ call: OpaquePointer?, _ stream: UInt64, _ addresses: UnsafePointer<UInt64>?, _ address_count: Int32
) -> liger_status {
    reporting {
        let call = try object(call)
        guard let addresses, Int(address_count) == call.recorded.addressCount else {
            throw RuntimeError(
                "the call takes \(call.recorded.addressCount) addresses; found "
                    + (addresses == nil ? "NULL" : "\(address_count)"))
        }
        try call.run(addresses, stream)
    }
}

@c @implementation
public func liger_run_packed(_ words: UnsafePointer<UInt64>?) -> liger_status {
    reporting {
        guard let words else { throw RuntimeError("the words are NULL. Give a call, a stream and addresses") }
        let call = try object(OpaquePointer(bitPattern: UInt(words[0])))
        guard words[2] == UInt64(call.recorded.addressCount) else {
            throw RuntimeError("the call takes \(call.recorded.addressCount) addresses; found \(words[2])")
        }
        try call.run(words + 3, words[1])
    }
}

extension Call {
    fileprivate func run(_ addresses: UnsafePointer<UInt64>, _ stream: UInt64) throws {
        try addresses.withMemoryRebound(to: UInt.self, capacity: recorded.addressCount) {
            try recorded.run($0, stream: UInt(stream))
        }
    }
}

@c @implementation
public func liger_release(_ call: OpaquePointer?) {
    if let call { Unmanaged<Call>.fromOpaque(UnsafeRawPointer(call)).release() }
}

@c @implementation
public func liger_synchronize(_ number: Int32, _ stream: UInt64) -> liger_status {
    reporting { try device(number).synchronize(stream: UInt(stream)) }
}

@c @implementation
public func liger_use_blas(_ path: UnsafePointer<CChar>?) -> liger_status {
    reporting {
        guard let path else { throw RuntimeError("the path is NULL. Give a library or its folder") }
        BLASLibrary.prefer(String(cString: path))
    }
}

@c @implementation
public func liger_launch_counts(
    _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ needed: UnsafeMutablePointer<Int64>?
) -> liger_status {
    reporting {
        guard let needed, capacity >= 0, text != nil || capacity == 0 else {
            throw RuntimeError("liger_launch_counts needs a place for the size, and one for the text")
        }
        let lines = Device.launchesOfProcess.sorted { $0.key < $1.key }
            .map { "\($0.key)\t\($0.value)\n" }.joined()
        let bytes = Array(lines.utf8CString)
        if let text, capacity > 0 {
            let count = min(bytes.count, Int(capacity)) - 1
            for i in 0..<count { text[i] = bytes[i] }
            text[count] = 0
        }
        needed.pointee = Int64(bytes.count)
    }
}

// MARK: - Constant texts

/// A text that lives as long as the process.
private struct LastingText: @unchecked Sendable {
    // Never written after it has been made.
    let pointer: UnsafePointer<CChar>

    init(_ text: String) {
        let bytes = Array(text.utf8CString)
        let memory = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
        memory.initialize(from: bytes, count: bytes.count)
        pointer = UnsafePointer(memory)
    }
}

/// The package's version; setup.py reads it here.
private let version = LastingText("0.8.5")
private let signatures = LastingText(JSON.list(Operation.all.map(\.signature.json)).text)

@c @implementation
public func liger_version() -> UnsafePointer<CChar>? { version.pointer }

@c @implementation
public func liger_signatures() -> UnsafePointer<CChar>? { signatures.pointer }

extension liger_array {
    /// An output as C sees it.
    fileprivate init(_ output: CallOutput, name text: StaticString) {
        self.init()
        name = UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
        dtype = output.dtype.code
        rank = Int32(output.shape.count)
        alignment = 16
        var stride = 1
        withUnsafeMutableBytes(of: &strides) { strides in
            withUnsafeMutableBytes(of: &shape) { shape in
                let (sizes, steps) = (
                    shape.bindMemory(to: Int64.self), strides.bindMemory(to: Int64.self)
                )
                for i in output.shape.indices.reversed() {
                    (sizes[i], steps[i]) = (Int64(output.shape[i]), Int64(stride))
                    stride *= max(output.shape[i], 1)
                }
            }
        }
    }
}
