package import Tile
package import TileGPU

/// A GPU architecture to print for.
package struct Target: Sendable, Hashable, CustomStringConvertible {
    /// Compute capability, such as 90 for 9.0.
    package let capability: Int

    package init(capability: Int) { self.capability = capability }

    /// Those that releases are checked for.
    package static let all = [75, 80, 86, 89, 90, 100, 120].map(Target.init(capability:))

    package var description: String { "sm_\(capability)" }

    /// The least PTX version that knows the architecture, so that older drivers still load the rest.
    var ptxVersion: String {
        switch capability {
        case ..<80: "6.3"
        case 80..<86: "7.0"
        case 86..<89: "7.1"
        case 89: "7.8"
        // Clusters' barriers.
        case 90..<100: "8.0"
        case 100..<120: "8.6"
        default: "8.7"
        }
    }

    /// Bytes of shared memory that a block may take.
    package var sharedBytes: Int {
        switch capability {
        case ..<80: 64 << 10
        case 80: 163 << 10
        case 81..<90, 120...: 99 << 10
        default: 227 << 10
        }
    }

    /// Conversions to and from bfloat16, and minima that keep NaN.
    var hasAmpere: Bool { capability >= 80 }
    /// Accesses that say what the second-level cache should keep: since PTX 7.4, which is more than
    /// `ptxVersion` asks for below.
    var hasCachePolicies: Bool { capability >= 89 }
    /// Conversions to and from 8-bit floats, for which capability 8.9 needs a PTX above its `ptxVersion`.
    var hasFloat8: Bool { capability >= 90 }
    /// Kernels that are launched while the one before them in the stream still runs, and wait for it themselves.
    package var hasEarlyLaunch: Bool { capability >= 90 }
    /// Tensor cores that read tiles from shared memory, where a copy engine puts them: of this architecture alone.
    package var multiplies: Bool { capability == 90 }
    /// Whether the assembler spills registers for the sake of more blocks unless told that one is enough.
    var spillsForOccupancy: Bool { capability < 90 }
}

extension Target: GPUTarget {
    package static var language: String { "ptx" }

    package var limits: GPULimits {
        GPULimits(
            sharedBytes: sharedBytes, hasClusters: capability >= 90, copiesAsynchronously: hasAmpere)
    }

    package func schedule(_ function: TileFunction, layouts: [GPULayout]) -> GPUSchedule {
        GPUSchedule(function, layouts: layouts, capability: capability)
    }

    package func text(_ function: ThreadFunction) -> String { PTXModule(function, target: self).text }
}
