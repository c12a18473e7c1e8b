// The devices of this machine.

extension Device {
    /// This machine's processor.
    public static let cpu = Device(name: "cpu")

    /// The processor with kernels and counters of its own: tests measure with one.
    package convenience init(name: String) { self.init(CPUBackend(name: name)) }

    /// A kind of device of which a machine may have several, or none.
    private struct Kind {
        /// Before the colon and the number in its devices' names.
        let name: String
        /// Throws an error that says why there is none.
        let devices: () throws -> [Device]
        /// Those that somebody has asked for.
        let listed: () -> [Device]
    }

    /// A new kind of GPU is a line here.
    private static var kinds: [Kind] {
        [
            Kind(name: "cuda", devices: cudaDevices, listed: { listedCUDADevices }),
            Kind(name: "hip", devices: hipDevices, listed: { listedHIPDevices }),
        ]
    }

    /// How often each kernel was launched by this process, on whichever device, by its name.
    package static var launchesOfProcess: [String: Int] {
        ([.cpu] + kinds.flatMap { $0.listed() }).reduce(into: [:]) { counts, device in
            counts.merge(device.launches, uniquingKeysWith: +)
        }
    }

    /// The processor and the GPUs that can be used.
    public static var available: [Device] { [.cpu] + kinds.flatMap { (try? $0.devices()) ?? [] } }

    /// The device of a name, such as the one given to `--device`: `cpu`, `cuda` for the first
    /// GPU of NVIDIA's, or `cuda:1` and so on, and `hip` for AMD's likewise.
    ///
    /// - Throws: an error that says what this machine has if it has no such device.
    public static func named(_ name: String) throws -> Device {
        if name == "cpu" { return .cpu }
        let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let kind = kinds.first(where: { $0.name == parts[0] }), parts.count == 1 || Int(parts[1]) != nil
        else { throw unknown(name) }
        let devices: [Device]
        do {
            devices = try kind.devices()
        } catch {
            throw RuntimeError("the device '\(name)' cannot be used: \(error)\nPass --device cpu to go on")
        }
        let wanted = parts.count == 1 ? "\(name):0" : name
        guard let device = devices.first(where: { $0.name == wanted }) else { throw unknown(name) }
        return device
    }

    private static func unknown(_ name: String) -> RuntimeError {
        let found = available.map(\.name).joined(separator: ", ")
        return RuntimeError("there is no device named '\(name)'. Pass --device with one of: \(found)")
    }
}
