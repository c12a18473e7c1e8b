import Foundation
import LigerNN
import Testing

@Suite struct KernelSelectionTests {
    @Test func switchesChangeSingleKernels() {
        let allButOne = KernelSelection(.liger, switches: [.rope: false])
        #expect(!allButOne[.rope] && allButOne[.swiGLU])
        #expect(KernelSelection(.liger, switches: [.rope: true]) == .liger)
        for part in KernelSelection.Switch.allCases {
            let one = KernelSelection(.reference, switches: [part: true])
            #expect(KernelSelection.Switch.allCases.filter { one[$0] } == [part])
        }
    }

    @Test func isNamedForPeople() {
        #expect(KernelSelection.liger.description == "liger")
        #expect(KernelSelection.reference.description == "reference")
        #expect(
            KernelSelection(.reference, switches: [.rmsNorm: true, .rope: true]).description == "rope+rmsNorm"
        )
    }

    /// As the records of earlier runs have it.
    @Test func isWrittenAsTheNamesOfItsParts() throws {
        let selection = KernelSelection(.reference, switches: [.swiGLU: true, .rope: true])
        let json = try JSONEncoder().encode([selection, .reference])
        #expect(String(decoding: json, as: UTF8.self) == #"[["rope","swiGLU"],[]]"#)
        #expect(try JSONDecoder().decode([KernelSelection].self, from: json) == [selection, .reference])
        #expect(throws: (any Error).self) {
            try JSONDecoder().decode([KernelSelection].self, from: Data(#"[["triton"]]"#.utf8))
        }
    }
}
