import LigerArrays
import Synchronization
package import Tile

/// Where kernels note that a program failed a check: one record per kernel, in host memory the GPU writes to.
///
/// Owner: its ``GPUContext``. Any thread may use it. Records live as long as the process, so that a captured
/// graph may be replayed. As they lie in pinned host memory, reading them after the GPU's work costs no copy,
/// and a kernel that fails no check never touches them.
package final class ErrorRecords: Sendable {
    /// A kernel's record: 4 numbers, 64 bits each. [0] is 0 or 1 + the number of a message, [1] the program,
    /// [2] the value to show; [3] is not used.
    package struct Record: @unchecked Sendable {
        // The GPU writes here; the host reads and clears it after the GPU's work is done.
        package let words: UnsafeMutablePointer<Int64>
        let kernel: String
        let messages: [String]

        static let byteCount = 32
        /// The same in the GPU's address space: pinned host memory has one address for both.
        package var deviceAddress: UInt64 { UInt64(UInt(bitPattern: words)) }
    }

    private struct State: Sendable {
        var records: [Record] = []
        var free: [UInt] = []
    }

    private let state = Mutex(State())
    private static let recordsPerBlock = 256

    /// A new record for a kernel.
    ///
    /// - Parameter allocate: so many bytes of pinned host memory.
    package func add(
        kernel: String, messages: [String], _ allocate: (Int) throws -> UnsafeMutableRawPointer
    ) throws -> Record {
        try state.withLock { state in
            if state.free.isEmpty { state.free = try Self.block(allocate) }
            guard let address = state.free.popLast(),
                let words = UnsafeMutablePointer<Int64>(bitPattern: address)
            else { throw RuntimeError("the driver gave no memory for error records") }
            let record = Record(words: words, kernel: kernel, messages: messages)
            state.records.append(record)
            return record
        }
    }

    private static func block(_ allocate: (Int) throws -> UnsafeMutableRawPointer) throws -> [UInt] {
        let bytes = recordsPerBlock * Record.byteCount
        let memory = try allocate(bytes)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let first = UInt(bitPattern: memory)
        return (0..<UInt(recordsPerBlock)).reversed().map { first + $0 * UInt(Record.byteCount) }
    }

    /// The failures noted since the last call, cleared: an error for the first of them, nil if there are none.
    /// To be called when the GPU's work is done.
    package func take() -> LaunchError? {
        state.withLock { state in
            var first: LaunchError?
            for record in state.records where record.words[0] != 0 {
                first = first ?? record.error
                for i in 0..<4 { record.words[i] = 0 }
            }
            return first
        }
    }
}

extension ErrorRecords.Record {
    fileprivate var error: LaunchError {
        let number = Int(words[0]) - 1
        let message =
            messages.indices.contains(number)
            ? messages[number].replacing("{}", with: "\(words[2])") : "check \(number) failed on \(words[2])"
        return LaunchError(description: "kernel \(kernel), program \(words[1]): \(message)")
    }
}
