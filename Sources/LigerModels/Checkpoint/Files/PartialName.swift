package import Platform
import Synchronization

/// Names of unfinished output: `NAME.partial-PROCESS-COUNT`, in the folder of the final name and so on the same file
/// system.
///
/// The process's identifier tells output that another process is writing from what a killed one left
/// behind, which the next write into the same folder removes.
package enum PartialName {
    private static let counter = Atomic<Int>(0)

    /// A name that nothing else uses, for output that will be called `name`.
    static func make(for name: String) -> String {
        let count = counter.add(1, ordering: .relaxed).newValue
        return "\(name).partial-\(FileAccess.processIdentifier)-\(count)"
    }

    /// Removes what killed processes left in `directory`; what cannot be removed stays.
    package static func removeStale(in directory: URL) {
        let manager = FileManager.default
        for name in (try? manager.contentsOfDirectory(atPath: directory.path)) ?? [] {
            guard let owner = process(of: name), owner != FileAccess.processIdentifier,
                !FileAccess.isRunning(process: owner)
            else { continue }
            try? manager.removeItem(at: directory.appendingPathComponent(name))
        }
    }

    private static func process(of name: String) -> Int32? {
        guard let mark = name.firstRange(of: ".partial-") else { return nil }
        let numbers = name[mark.upperBound...].split(separator: "-", omittingEmptySubsequences: false)
        guard numbers.count == 2, Int(numbers[1]) != nil, let process = Int32(numbers[0]), process > 0
        else { return nil }
        return process
    }
}
