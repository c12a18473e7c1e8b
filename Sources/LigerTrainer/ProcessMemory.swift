internal import Platform

/// How much memory this process occupies, in bytes.
///
/// On Linux the resident set (`VmRSS`, `VmHWM`); on a Mac the physical footprint, which is what its
/// tools show.
public struct ProcessMemory: Sendable, Equatable {
    /// Bytes occupied now.
    public let resident: Int
    /// The most that was ever occupied.
    public let peak: Int

    /// The memory of this process now; nil when the system does not say.
    public static func current() -> ProcessMemory? {
        if let footprint = System.physicalFootprint() {
            return ProcessMemory(resident: footprint.now, peak: footprint.peak)
        }
        guard let bytes = try? FileSystem.read("/proc/self/status") else { return nil }
        return ProcessMemory(status: String(decoding: bytes, as: UTF8.self))
    }

    /// Bytes that new work can have without swapping, as Linux estimates it (`MemAvailable`); nil elsewhere.
    package static func available() -> Int? {
        guard let bytes = try? FileSystem.read("/proc/meminfo") else { return nil }
        return kibibytes("MemAvailable:", in: String(decoding: bytes, as: UTF8.self)).map { $0 * 1024 }
    }

    package init(resident: Int, peak: Int) {
        self.resident = resident
        self.peak = peak
    }

    /// Reads the text of `/proc/self/status`; nil when it lacks the two lines.
    package init?(status: String) {
        guard let resident = Self.kibibytes("VmRSS:", in: status) else { return nil }
        // Some sandboxes leave VmHWM out; the peak is then at least what is occupied now.
        let peak = Self.kibibytes("VmHWM:", in: status) ?? resident
        self.init(resident: resident * 1024, peak: peak * 1024)
    }

    /// The number of the line that begins with `name`.
    private static func kibibytes(_ name: String, in text: String) -> Int? {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else { return nil }
        let digits = line.dropFirst(name.count).drop { $0 == " " || $0 == "\t" }.prefix { $0.isNumber }
        return Int(digits)
    }
}
