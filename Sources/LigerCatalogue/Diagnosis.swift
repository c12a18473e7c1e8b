import CVector
import LigerRuntime

/// What `liger doctor` looks at.
package enum Diagnosis {
    package struct Finding: Sendable {
        package let subject: String
        package let isUsable: Bool
        package let detail: String
    }

    package static func findings() -> [Finding] {
        [processor, threads, matrixProducts]
    }

    private static var processor: Finding {
        Finding(subject: "device cpu", isUsable: true, detail: vectorLevel)
    }

    private static var vectorLevel: String {
        switch cv_machine_level() {
        case 2: "vector loops for AVX-512"
        case 1: "vector loops for AVX2"
        default: "vector loops for the baseline"
        }
    }

    private static var threads: Finding {
        do {
            try ThreadPool.checkEnvironment()
            let count = ThreadPool.shared.threadCount
            return Finding(
                subject: "threads", isUsable: true,
                detail: "\(count) of \(ThreadPool.availableCores) cores (LIGER_THREADS sets the number)")
        } catch {
            return Finding(subject: "threads", isUsable: false, detail: "\(error)")
        }
    }

    private static var matrixProducts: Finding {
        do {
            return Finding(
                subject: "matrix products", isUsable: true, detail: try BLAS.load().description)
        } catch {
            return Finding(subject: "matrix products", isUsable: false, detail: "\(error)")
        }
    }
}
